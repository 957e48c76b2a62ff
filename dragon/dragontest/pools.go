package dragontest

// configuredPools shows what stands in cgminer.conf, passwords and all.
func (d *Dragon) configuredPools(out *reply, a *request) {
	out.plainSlashes = true
	out.open()
	out.boolField("success", true)
	out.key("pools")
	out.list(len(a.state.configured))
	for _, p := range a.state.configured {
		out.item()
		out.open()
		out.strField("url", p.URL)
		out.strField("user", d.label(a.endpoint, p.User))
		out.strField("pass", p.Password)
		out.close()
	}
	out.endList()
	out.close()
}
