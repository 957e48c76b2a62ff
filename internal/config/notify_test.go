package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebhooks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"url": "https://hooks.example.net/t0ken\n", "secret": "0123456789abcdef\n", "short": "short\n", "two": "a\nb\n", "template": `{"text": {{ json (lines .) }}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range map[string]struct{ file, wrong string }{
		"all of it":               {file: "{name: ops, url: 'https://hooks.example.net/t0ken', secret_file: DIR/secret, events: [acted, lost], timeout: 5s, template_file: DIR/template}"},
		"files":                   {file: "{name: ops, url_file: DIR/url}"},
		"a private address":       {file: "{name: ops, url: 'http://192.0.2.7:8080/'}"},
		"text":                    {file: "{name: ops, url: 'https://a/', content_type: text/plain, template: '{{ lines . }}'}"},
		"no name":                 {file: "{url: 'https://a/'}", wrong: "has the name"},
		"a name twice":            {file: "{name: ops, url: 'https://a/'}, {name: ops, url: 'https://b/'}", wrong: "as another one has"},
		"no url":                  {file: "{name: ops}", wrong: "neither url nor url_file"},
		"two urls":                {file: "{name: ops, url: 'https://a/', url_file: DIR/url}", wrong: "both url and url_file"},
		"no such file":            {file: "{name: ops, url_file: DIR/nothing}", wrong: "no such file"},
		"a file of two lines":     {file: "{name: ops, url_file: DIR/two}", wrong: "want one line"},
		"another scheme":          {file: "{name: ops, url: 'ftp://t0ken/'}", wrong: "the URL is none like"},
		"no host":                 {file: "{name: ops, url: t0ken}", wrong: "the URL is none like"},
		"a short secret":          {file: "{name: ops, url: 'https://a/', secret_file: DIR/short}", wrong: "want 16 or more"},
		"an unknown event":        {file: "{name: ops, url: 'https://a/', events: [heeled]}", wrong: "heeled"},
		"two templates":           {file: "{name: ops, url: 'https://a/', template: x, template_file: DIR/template}", wrong: "both template and template_file"},
		"a template":              {file: "{name: ops, url: 'https://a/', template: '{{ .Nothing }}'}", wrong: "Nothing"},
		"a template without JSON": {file: "{name: ops, url: 'https://a/', template: '{{ lines . }}'}", wrong: "does not write JSON"},
		"too patient":             {file: "{name: ops, url: 'https://a/', timeout: 2m}", wrong: "want 1s to 60s"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\nnotify: {webhooks: ["+strings.ReplaceAll(x.file, "DIR", dir)+"]}\n")
			if x.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), x.wrong) || strings.Contains(err.Error(), "t0ken") {
					t.Errorf("%v, want an error with %q and without the URL", err, x.wrong)
				}
				return
			}
			if err != nil || len(c.Webhooks) != 1 {
				t.Fatalf("%v: %+v", err, c)
			}
			if text := printed(t, c); strings.Contains(text, "t0ken") {
				t.Error(text)
			}
			w := c.Webhooks[0]
			got := fmt.Sprintf("%s %s %q %v %t %s %s", w.Name, w.URL, w.Secret, w.Kinds, w.Template != nil, w.ContentType, w.Timeout)
			want := map[string]string{
				"all of it": "ops https://hooks.example.net/t0ken \"0123456789abcdef\" [acted lost] true application/json 5s",
				"files":     "ops https://hooks.example.net/t0ken \"\" [healed lost quarantined latched rollout new locked] false application/json 10s",
			}[name]
			if want != "" && got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if warned := strings.Contains(strings.Join(c.Warnings, "\n"), "neither encrypted nor signed"); warned != (name == "a private address") {
				t.Errorf("%q", c.Warnings)
			}
		})
	}
	if c, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\n"); err != nil || len(c.Webhooks) != 0 {
		t.Errorf("%v: by default there are %v", err, c.Webhooks)
	}
}
