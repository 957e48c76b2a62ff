package config

import (
	"strings"
	"testing"
)

func TestTheSharedState(t *testing.T) {
	for name, x := range map[string]struct{ flags, file, wrong string }{
		"flags":             {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379,http://127.0.0.2:2379 --ha.etcd.prefix=/farm/"},
		"file":              {file: "ha: {id: a, url: 'http://a:9977', lease: 15s, etcd: {endpoints: ['http://127.0.0.1:2379'], prefix: /north/}}\n"},
		"no port":           {file: "ha: {etcd: {endpoints: ['http://127.0.0.1']}}\n", wrong: "want http://HOST:PORT"},
		"no scheme":         {flags: "--ha.etcd.endpoints=127.0.0.1:2379", wrong: "want http://HOST:PORT"},
		"prefix":            {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379 --ha.etcd.prefix=north", wrong: "does not begin and end with /"},
		"url":               {flags: "--ha.url=host-a", wrong: "want http://HOST:PORT or https://HOST"},
		"half a login":      {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379 --ha.etcd.username=mother", wrong: "needs ha.etcd.password_file"},
		"no such file":      {flags: "--ha.etcd.endpoints=https://127.0.0.1:2379 --ha.etcd.ca-file=/nowhere/ca.pem", wrong: "no such file"},
		"certificates only": {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379 --ha.etcd.ca-file=ca.pem", wrong: "need https://"},
		"lease":             {flags: "--ha.lease=1s", wrong: "5s"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\n"+x.file, strings.Fields(x.flags)...)
			switch {
			case x.wrong != "" && (err == nil || !strings.Contains(err.Error(), x.wrong)):
				t.Errorf("%v, want an error with %q", err, x.wrong)
			case x.wrong == "" && err != nil:
				t.Error(err)
			case x.wrong == "" && len(c.HA.Etcd.Endpoints) == 0:
				t.Errorf("%+v", c.HA)
			case x.wrong == "" && !strings.Contains(strings.Join(c.Warnings, "\n"), "without TLS"):
				t.Errorf("nothing warns of etcd without TLS: %q", c.Warnings)
			}
		})
	}
}
