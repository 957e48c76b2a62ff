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
			query{"fleet:dragon_energy:joules_per_terahash", ""}).Decimals(1).NoValue(noSource), 5, 4, 0},
		{tile("Energy, 24 h", "What the dragons drew in the last 24 hours."+whole, kilowattHours, query{"sum(max by (farm) (fleet:dragon_energy_kilowatt_hours:sum24h))", ""}).Decimals(1).NoValue(noSource), 5, 4, 0},
		{tile("Cost, 24 h", "Its cost, in the currency of the price in thresholds.yml."+whole, count, query{"sum(max by (farm) (fleet:dragon_energy_cost:sum24h))", ""}).Decimals(2).NoValue("No price"), 5, 4, 0},
		{heaps("Power by model", "What the dragons draw."+whose, watts, query{"sum by (model) (model:dragon_power_watts:sum{" + chosen + "})", "{{model}}"}).NoValue(noSource), 12, 8, 0},
		{lines("Energy per hash by site and model", "Power divided by the hash rate of the same dragons; where a model solves Equihash, hashes are solutions."+whose, perTerahash,
			query{"model:dragon_energy:joules_per_terahash{" + chosen + "}", "{{site}} {{model}}"}).Min(0).NoValue(noSource), 12, 8, 0},
		{energyOf("site", "site", `{site=~"$site"}`, "Energy by site", "Per hash is that of the SHA-256 models."+whose, column{"site", "Site", nil}), 12, 7, 0},
		{energyOf("model", "site, model", "{"+chosen+"}", "Energy by site and model", "The same by model."+whose, column{"site", "Site", nil}, column{"model", "Model", nil}), 12, 7, 0},
	}
}

// energyOf is a table of the figures of each site or model.
func energyOf(level, by, selection, title, about string, first ...column) *table.PanelBuilder {
	figure := func(name string) query {
		return query{"sum by (" + by + ") (" + level + ":" + name + selection + ")", ""}
	}
	return grid(title, about, []query{
		figure("dragon_power_watts:sum"), figure("dragon_energy:joules_per_terahash"), figure("dragon_energy_kilowatt_hours:sum24h"), figure("dragon_energy_cost:sum24h"),
	}, append(first,
		column{"Value #A", "Power", []dashboard.DynamicConfigValue{value(watts)}},
		column{"Value #B", "Per hash", []dashboard.DynamicConfigValue{value(perTerahash), {Id: "decimals", Value: 1}}},
		column{"Value #C", "Energy, 24 h", []dashboard.DynamicConfigValue{value(kilowattHours)}},
		column{"Value #D", "Cost, 24 h", []dashboard.DynamicConfigValue{value(count), {Id: "decimals", Value: 2}}})...).
		SortBy(falling("Power")).NoValue(noSource)
}
