package config

import (
	"strings"
	"testing"
)

func TestGrafanaIsAURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://grafana:3000": true, "https://grafana.example.net/sub/": true, "": true,
		"grafana:3000": false, "javascript:alert(1)": false, "http://": false, "http://u:p@grafana": false, "http://grafana?x=1": false,
	} {
		_, err := parseFile(t, "networks: [{cidr: 127.0.0.0/24}]\nweb: {grafana: '"+text+"'}\n")
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "web.grafana") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
