package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

const (
	watts         = units.Watt
	kilowattHours = units.KiloWattHour
	perTerahash   = "suffix: J/TH"
)

// noSource is what a panel shows while the power of no dragon is known: nothing is estimated.
const noSource = "Power is not known"

// energyPanels are the row of energy. Its tiles are about the whole farm, whatever is chosen:
// one number is right for models of one algorithm only.
func energyPanels() []panel {
	const whole = " Of the whole farm, whatever is chosen."
	const whose = " Of the dragons whose power is known, by themselves, from the configuration or from a PDU."
	return []panel{
		{tile("Power known", "Share of the dragons whose power is known: by themselves, from the configuration or from a PDU. The others count in no figure of this row."+whole, ratio,
			query{"(count(worker:dragon_power_watts:any) or 0 * count(worker:dragon_info:any)) / count(worker:dragon_info:any)", ""}).Decimals(0), 4, 4, 0},
		{tile("Power", "What the dragons draw now."+whole, watts, query{"sum(max by (farm) (fleet:dragon_power_watts:sum))", ""}).Decimals(1).NoValue(noSource), 5, 4, 0},
		{tile("Energy per hash", "Power divided by the hash rate of the same dragons, SHA-256 models only."+whole, perTerahash,
			query{perHash("sum", sameHash), ""}).Decimals(1).NoValue(noSource), 5, 4, 0},
		{tile("Energy, 24 h", "What the dragons drew in the last 24 hours."+whole, kilowattHours, query{"sum(max by (farm) (fleet:dragon_energy_kilowatt_hours:sum24h))", ""}).Decimals(1).NoValue(noSource), 5, 4, 0},
		{tile("Cost, 24 h", "Its cost, in the currency of the price in thresholds.yml."+whole, count, query{"sum(max by (farm) (fleet:dragon_energy_cost:sum24h))", ""}).Decimals(2).NoValue("No price"), 5, 4, 0},
		{heaps("Power by model", "What the dragons draw."+whose, watts, query{"sum by (model) (model:dragon_power_watts:sum{" + chosen + "})", "{{model}}"}).NoValue(noSource), 12, 8, 0},
		{lines("Energy per hash by site and model", "Power divided by the hash rate of the same dragons; where a model solves Equihash, hashes are solutions."+whose, perTerahash,
			query{perHash("sum by (site, model)", chosen), "{{site}} {{model}}"}).Min(0).NoValue(noSource), 12, 8, 0},
		{energyOf("site", "site", `site=~"$site"`, `site=~"$site", `+sameHash, "Energy by site", "Per hash is that of the SHA-256 models."+whose, column{"site", "Site", nil}), 12, 7, 0},
		{energyOf("model", "site, model", chosen, chosen, "Energy by site and model", "The same by model."+whose, column{"site", "Site", nil}, column{"model", "Model", nil}), 12, 7, 0},
	}
}

// sameHash are the models whose hash rates can be added up.
const sameHash = `model=~"T[123].*"`

// perHash divides power by the hash rate of the same dragons, of all farms that are looked at: the
// figures of two farms cannot be added up.
func perHash(sum, selection string) string {
	return "1e12 * " + sum + " (model:dragon_power_watts:sum{" + selection + "})" +
		" / (" + sum + " (model:dragon_powered_hashrate_hashes_per_second:sum{" + selection + "}) > 0)"
}

// energyOf is a table of the figures of each site or model; added are those whose hash rates are.
func energyOf(level, by, selection, added, title, about string, first ...column) *table.PanelBuilder {
	sum := "sum by (" + by + ")"
	figure := func(name string) query {
		return query{sum + " (" + level + ":" + name + "{" + selection + "})", ""}
	}
	return grid(title, about, []query{
		figure("dragon_power_watts:sum"), {perHash(sum, added), ""}, figure("dragon_energy_kilowatt_hours:sum24h"), figure("dragon_energy_cost:sum24h"),
	}, append(first,
		column{"Value #A", "Power", []dashboard.DynamicConfigValue{value(watts)}},
		column{"Value #B", "Per hash", []dashboard.DynamicConfigValue{value(perTerahash), {Id: "decimals", Value: 1}}},
		column{"Value #C", "Energy, 24 h", []dashboard.DynamicConfigValue{value(kilowattHours)}},
		column{"Value #D", "Cost, 24 h", []dashboard.DynamicConfigValue{value(count), {Id: "decimals", Value: 2}}})...).
		SortBy(falling("Power")).NoValue(noSource)
}
