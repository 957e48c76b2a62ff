package cli

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// CompletionFlag is how completion scripts ask what the last of the words behind it may be.
const CompletionFlag = "--completion-bash"

// completionTimeout is how long completion waits for a running instance.
const completionTimeout = 300 * time.Millisecond

// BashCompletion is the script for bash. Bash splits words at = and : before completion;
// the script passes whole words and returns what follows the last of these characters.
const BashCompletion = `_mother_of_dragons() {
    local line="${COMP_LINE:0:COMP_POINT}" cur prefix=""
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *" " ]] && words+=("")
    cur="${words[-1]}"
    COMPREPLY=($(compgen -W "$("${words[0]}" --completion-bash "${words[@]:1}")" -- "$cur"))
    [[ "$cur" == *[=:]* ]] && prefix="${cur%"${cur##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
}
complete -F _mother_of_dragons -o default mother-of-dragons`

// completions returns what the last of words may become. Kingpin's own completion finds no
// commands beside a default one and no flags of a command with subcommands.
func completions(ctx context.Context, app *kingpin.ApplicationModel, words []string) (found []string) {
	last := ""
	if len(words) > 0 {
		words, last = words[:len(words)-1], words[len(words)-1]
	}
	l := read(app, words)
	flag, _, assigned := strings.Cut(last, "=")
	switch cmd := l.innermost(); {
	case l.open != "":
		found = l.flagValues(ctx, l.open)
	case strings.HasPrefix(last, "-") && assigned:
		for _, v := range l.flagValues(ctx, strings.TrimPrefix(flag, "--")) {
			found = append(found, flag+"="+v)
		}
	case strings.HasPrefix(last, "-"):
		for _, f := range l.allowed(app) {
			if !f.Hidden {
				found = append(found, "--"+f.Name)
			}
		}
	case cmd == nil:
		found = names(app.CmdGroupModel)
	case len(cmd.Commands) > 0:
		found = names(cmd.CmdGroupModel)
	case len(cmd.Args) > 0:
		if i := min(l.args, len(cmd.Args)-1); i == l.args || Cumulative(cmd.Args[i]) {
			found = l.argValues(ctx, cmd.Args[i].Name)
		}
	}
	found = slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, last) })
	slices.Sort(found)
	return slices.Compact(found)
}

func (l *line) argValues(ctx context.Context, arg string) []string {
	switch arg {
	case "host", "dragon":
		return l.fleet(ctx).workers
	case "light":
		return []string{"on", "off"}
	case "shell":
		return []string{"bash", "zsh"}
	case "mode":
		return dragon.AutoTuneModes()
	}
	return nil
}

// flagValues are the known values of a flag. The shell completes files.
func (l *line) flagValues(ctx context.Context, flag string) (values []string) {
	command := ""
	if c := l.innermost(); c != nil {
		command = c.FullCommand
	}
	switch flag {
	case "scope":
		return l.fleet(ctx).scopes()
	case "why":
		return l.fleet(ctx).workers
	case "dragon":
		if command == "audit" { // elsewhere it names a host that need not be known
			return l.fleet(ctx).workers
		}
	case "model":
		return l.fleet(ctx).models
	case "output":
		if command != "capture" && command != "convert-config" {
			return []string{"table", "json", "csv"}
		}
	case "log.level":
		return []string{"debug", "info", "warn", "error"}
	case "log.format":
		return []string{"logfmt", "json"}
	case "dragon-autotune-mode":
		return dragon.AutoTuneModes()
	}
	return nil
}

// knownFleet is what completion knows of the fleet.
type knownFleet struct{ workers, macs, models, sites, labels []string }

func (f *knownFleet) add(worker, mac, model, site string, labels map[string]string) {
	for name, value := range labels {
		f.labels = append(f.labels, name+"="+value)
	}
	f.workers, f.macs = append(f.workers, worker), append(f.macs, mac)
	if model != "" {
		f.models = append(f.models, model)
	}
	if site != "" {
		f.sites = append(f.sites, site)
	}
}

func (f *knownFleet) scopes() []string {
	scopes := []string{"fleet"}
	for kind, values := range map[string][]string{"label": f.labels, "mac": f.macs, "model": f.models, "site": f.sites, "worker": f.workers} {
		for _, v := range values {
			scopes = append(scopes, kind+"="+v)
		}
	}
	return scopes
}

// fleet asks the running instance for its dragons, and if none answers in time, the
// inventory.
func (l *line) fleet(ctx context.Context) *knownFleet {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	value := func(flag string) string {
		return cmp.Or(l.flags[flag], os.Getenv("MOTHER_OF_DRAGONS_"+strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(flag))))
	}
	known := &knownFleet{}
	instance, err := config.Data(value("config.file"), cmp.Or(value("data-dir"), "data"))
	if err != nil {
		return known
	}
	var answer struct {
		Dragons []struct {
			Worker, MAC, Model, Site string
			Labels                   map[string]string
		}
	}
	if Connect(value("url"), instance.Dir).Call(ctx, http.MethodGet, "/api/v1/dragons", nil, &answer) == nil {
		for _, d := range answer.Dragons {
			known.add(d.Worker, d.MAC, d.Model, d.Site, d.Labels)
		}
		return known
	}
	infos, _ := fleet.Remembered(instance.Dir, instance.Sites.Of) // without an inventory nothing is known
	for _, i := range infos {
		known.add(i.Worker, i.MAC, i.Model, i.Site, instance.Labels(i.MAC).Map())
	}
	return known
}
