package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
)

type webhook struct {
	Name         string        `yaml:"name"`
	URL          hookURL       `yaml:"url"`
	URLFile      string        `yaml:"url_file"`
	SecretFile   string        `yaml:"secret_file"`
	Events       []notify.Kind `yaml:"events"`
	Template     string        `yaml:"template"`
	TemplateFile string        `yaml:"template_file"`
	ContentType  string        `yaml:"content_type"`
	Timeout      time.Duration `yaml:"timeout"`
}

// hookURL is a URL that may contain a token.
type hookURL string

// String masks all but the host.
func (u hookURL) String() string {
	x, err := url.Parse(string(u))
	switch {
	case u == "":
		return ""
	case err != nil || x.Host == "":
		return "<secret>"
	case strings.Trim(x.Path, "/") == "" && x.RawQuery == "" && x.User == nil:
		return string(u)
	}
	return x.Scheme + "://" + x.Host + "/<secret>"
}

const (
	webhookTimeout = 10 * time.Second
	mediaTypeJSON  = "application/json"
)

func notifySection() section {
	return section{path: "notify.webhooks", about: "What the healer did, as it is in `audit.jsonl`: [alerting.md](alerting.md#tell-me). " +
		"Alerts are Prometheus' and Alertmanager's business; these are the events between them.", rows: []setting{
		{doc: "Where events are sent; nowhere unless one is named.",
			example: "- {name: ops, url: \"https://hooks.example.net/dragons\", secret_file: ops.secret}\n" +
				"- {name: chat, url_file: chat.url, events: [quarantined, latched, lost], template: '{\"text\": {{ json (lines .) }}}'}"},
		{key: "[].name", doc: "The name in the log and in `mother_notifications_total`."},
		{key: "[].url", doc: "The URL that messages are posted to. It is not shown, because it may contain a token."},
		{key: "[].url_file", doc: "A file whose only line is the URL. A relative path starts at the directory of the configuration file."},
		{key: "[].secret_file", doc: "A file whose only line is the secret that messages are signed with, 16 characters or more, or whsec_ and base64. " +
			"Not set: they are not signed."},
		{key: "[].events", doc: "The events: acted, healed, not_healed, lost, quarantined, released, held, latched, resumed, paused, rollout, new, locked, policy. " +
			"Default: healed, lost, quarantined, latched, rollout, new and locked."},
		{key: "[].template", doc: "The body as a Go text/template; not set: JSON."},
		{key: "[].template_file", doc: "A file with the template. A relative path starts at the directory of the configuration file."},
		{key: "[].content_type", doc: "The body's media type. Default: application/json; then the template has to write JSON."},
		{key: "[].timeout", doc: "The longest time for one attempt, 1s to 60s. Default: 10s."},
	}}
}

var webhookName = regexp.MustCompile(`^[a-z0-9_.-]{1,60}$`)

// adoptNotify checks the webhooks, and reads their files.
func (c *Config) adoptNotify(r *reader, dir string) {
	names := make(map[string]bool)
	for i := range c.Notify.Webhooks {
		w := &c.Notify.Webhooks[i]
		path := fmt.Sprintf("notify.webhooks[%d]", i)
		if !webhookName.MatchString(w.Name) {
			r.at(path, "has the name %s; want one of a-z, 0-9, -, _ and .", shown(w.Name))
		} else if names[w.Name] {
			r.at(path, "has the name %s, as another one has", shown(w.Name))
		}
		names[w.Name] = true
		x := notify.Webhook{Name: w.Name, Kinds: w.Events, ContentType: w.ContentType, Timeout: w.Timeout}
		c.webhookURL(r, path, dir, w, &x)
		c.webhookTemplate(r, path, dir, w, &x)
		if len(x.Kinds) == 0 {
			x.Kinds = notify.DefaultKinds()
		}
		switch {
		case !r.has(path + ".timeout"):
			x.Timeout = webhookTimeout
		case x.Timeout < time.Second || x.Timeout > time.Minute:
			r.at(path+".timeout", "%s: want 1s to 60s", Span(x.Timeout))
		}
		c.Webhooks = append(c.Webhooks, x)
	}
}

// webhookURL reads the URL of a webhook and its secret.
func (c *Config) webhookURL(r *reader, path, dir string, w *webhook, x *notify.Webhook) {
	var err error
	x.URL = string(w.URL)
	switch {
	case w.URL != "" && w.URLFile != "":
		r.at(path, "has both url and url_file; want one")
	case w.URL == "" && w.URLFile == "":
		r.at(path, "has neither url nor url_file")
		return
	case w.URLFile != "":
		if x.URL, err = c.secretIn(w.URLFile, dir); err != nil {
			r.at(path+".url_file", "%s", err)
			return
		}
	}
	if u, err := url.Parse(x.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		r.at(path, "the URL is none like https://HOST/PATH") // it is not shown: it may contain a token
	} else if u.Scheme == "http" && w.SecretFile == "" && !isLoopback(u.Hostname()) {
		c.warn("%s: messages to %s are neither encrypted nor signed: use https, or a secret_file", path, w.Name)
	}
	if w.SecretFile == "" {
		return
	}
	if x.Secret, err = c.secretIn(w.SecretFile, dir); err == nil {
		err = notify.CheckSecret(x.Secret)
	}
	if err != nil {
		r.at(path+".secret_file", "%s", err)
	}
}

// webhookTemplate reads the template of a webhook, and tries it.
func (c *Config) webhookTemplate(r *reader, path, dir string, w *webhook, x *notify.Webhook) {
	if x.ContentType == "" {
		x.ContentType = mediaTypeJSON
	}
	at := path + ".template"
	switch x.Text = w.Template; {
	case w.Template != "" && w.TemplateFile != "":
		r.at(path, "has both template and template_file; want one")
		return
	case w.TemplateFile != "":
		at = path + ".template_file"
		text, err := readText(within(dir, w.TemplateFile))
		if err != nil {
			r.at(at, "%s", err)
			return
		}
		x.Text = text
	case w.Template == "":
		return
	}
	var err error
	if x.Template, err = notify.ParseTemplate(x.Text); err == nil && x.ContentType == mediaTypeJSON {
		err = x.Template.MakesJSON()
	}
	if err != nil {
		r.at(at, "%s", err)
	}
}

// readText reads a file of the operator without secrets.
func readText(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > largest {
		return "", fmt.Errorf("%s is not a file of at most %d bytes", path, largest)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	return string(data), err
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
