package config

import "net/url"

// checkWeb checks the URLs that the pages link to.
func (c *Config) checkWeb(r *reader) {
	if c.Web.Grafana == "" {
		return
	}
	if u, err := url.Parse(c.Web.Grafana); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		r.at("web.grafana", "%s: want a URL like http://HOST:3000, without a login", shown(c.Web.Grafana))
	}
}
