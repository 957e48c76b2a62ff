package config

import (
	"strings"
	"testing"
)

func TestURLsOfThePagesAreURLs(t *testing.T) {
	for _, key := range []string{"grafana", "prometheus"} {
		for text, ok := range map[string]bool{
			"http://grafana:3000": true, "https://grafana.example.net/sub/": true, "": true,
			"grafana:3000": false, "javascript:alert(1)": false, "http://": false, "http://u:p4ss@grafana": false, "http://u:p4ss#@grafana": false, "http://grafana?x=1": false, "http://grafana#x": false,
		} {
			_, err := parseFile(t, "networks: [{cidr: 127.0.0.0/24}]\nweb: {"+key+": '"+text+"'}\n")
			if (err == nil) != ok || err != nil && (!strings.Contains(err.Error(), "web."+key) || strings.Contains(err.Error(), "p4ss")) {
				t.Errorf("%s %q: %v", key, text, err)
			}
		}
	}
}
