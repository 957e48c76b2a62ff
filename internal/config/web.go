package config

import (
	"net/url"
	"strings"
)

// checkWeb checks the URLs of the pages.
func (c *Config) checkWeb(r *reader) {
	for _, x := range []struct{ key, value, port string }{{"web.grafana", c.Web.Grafana, "3000"}, {"web.prometheus", c.Web.Prometheus, "9090"}} {
		if x.value == "" {
			continue
		}
		u, err := url.Parse(x.value)
		if err == nil && u.User != nil || err != nil && strings.Contains(x.value, "@") { // not shown: it may be a password
			r.at(x.key, "contains a user, which the pages would show; let this program in without a login")
			continue
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			r.at(x.key, "%s: want a URL like http://HOST:%s", shown(x.value), x.port)
		}
	}
}
