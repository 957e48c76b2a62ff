package cli

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// suggest adds to an error of the parser what was probably meant, and where the help is.
func suggest(app *kingpin.ApplicationModel, args []string, err error) error {
	help := "--help"
	if c := read(app, args).innermost(); c != nil {
		help = c.FullCommand + " --help"
	}
	return fmt.Errorf("%w (see %s)", explain(app, args, err), help)
}

func explain(app *kingpin.ApplicationModel, args []string, err error) error {
	text := err.Error()
	l := read(app, args)
	if wrong, ok := strings.CutPrefix(text, "unknown long flag '--"); ok {
		return didYouMean(err, similar(strings.TrimSuffix(wrong, "'"), flagNames(l.allowed(app))), "--")
	}
	if letter, ok := strings.CutPrefix(text, "unknown short flag '"); ok {
		letter = strings.TrimSuffix(letter, "'")
		for _, a := range args { // Go and old Prometheus take -network for --network
			if word, _, _ := strings.Cut(a, "="); strings.HasPrefix(word, letter) && len(word) > len(letter) {
				return didYouMean(fmt.Errorf("unknown flag '%s'", word), similar(word[1:], flagNames(l.allowed(app))), "--")
			}
		}
		return err
	}
	for _, prefix := range []string{"unexpected ", "expected command but got "} {
		if wrong, ok := strings.CutPrefix(text, prefix); ok {
			if unquoted, err := strconv.Unquote(wrong); err == nil {
				wrong = unquoted
			}
			return unexpected(app, args, wrong)
		}
	}
	if words, ok := strings.CutPrefix(text, "enum value must be one of "); ok {
		words, wrong, _ := strings.Cut(words, ", got ")
		return fmt.Errorf("invalid value %q: want one of %s", strings.Trim(wrong, "'"), strings.ReplaceAll(words, ",", ", "))
	}
	if c := l.innermost(); c != nil && strings.HasPrefix(text, "must select a subcommand of ") {
		return fmt.Errorf("%s needs a subcommand: %s", c.FullCommand, strings.Join(names(c.CmdGroupModel), ", "))
	}
	if strings.HasPrefix(text, "strconv.ParseBool: ") { // only a variable can cause this
		for _, f := range everyFlag(app.FlagGroupModel, app.CmdGroupModel) {
			value, set := os.LookupEnv(f.Envar)
			if _, err := strconv.ParseBool(value); set && err != nil && f.IsBoolFlag() {
				return fmt.Errorf("$%s: %q is neither true nor false", f.Envar, value)
			}
		}
	}
	return err
}

// unexpected explains a word where the parser expects another one, or none.
func unexpected(app *kingpin.ApplicationModel, args []string, wrong string) error {
	if flag := givenValue(app, args, wrong); flag != "" {
		return takesNoValue(flag, wrong)
	}
	if i := slices.Index(args, wrong); i >= 0 {
		args = args[:i] // the parser stopped here
	}
	group := app.CmdGroupModel
	if c := read(app, args).innermost(); c == nil {
		if flag := looksLike(wrong); flag != "" {
			return didYouMean(fmt.Errorf("unknown command %s", wrong), []string{flag + "=" + wrong}, "--")
		}
	} else if group = c.CmdGroupModel; len(group.Commands) == 0 {
		return fmt.Errorf("%s: unexpected %q", c.FullCommand, wrong)
	}
	err := fmt.Errorf("unknown command %s", wrong)
	candidates := append(names(group), "--version")
	for _, c := range group.FlattenedCommands() {
		candidates = append(candidates, c.FullCommand)
	}
	if like := similar(wrong, candidates); len(like) > 0 {
		return didYouMean(err, like, "")
	}
	return fmt.Errorf("%w; commands: %s", err, strings.Join(names(group), ", "))
}

// refuseValues refuses --yes=false: the parser takes it for --yes, and false for the next argument.
func refuseValues(app *kingpin.ApplicationModel, args []string) error {
	allowed := read(app, args).allowed(app)
	for _, a := range args {
		name, value, given := strings.Cut(a, "=")
		if a == "--" { // what follows is no flag
			break
		}
		if f := flagOf(allowed, name); given && f != nil && f.IsBoolFlag() {
			return takesNoValue(f.Name, value)
		}
	}
	return nil
}

func takesNoValue(flag, value string) error {
	return fmt.Errorf("--%s takes no value, got %q; its opposite is --no-%[1]s", flag, value)
}

// givenValue is the flag without a value that the next word was meant for.
func givenValue(app *kingpin.ApplicationModel, args []string, wrong string) string {
	if !slices.Contains([]string{"true", "false", "yes", "no", "on", "off"}, wrong) {
		return ""
	}
	for i, a := range args[:max(len(args)-1, 0)] {
		if f := flagOf(everyFlag(app.FlagGroupModel, app.CmdGroupModel), a); f != nil && f.IsBoolFlag() && args[i+1] == wrong {
			return f.Name
		}
	}
	return ""
}

// looksLike is the flag that a word looks like a value of.
func looksLike(word string) string {
	if _, err := netip.ParsePrefix(word); err == nil {
		return "network"
	}
	if _, err := netip.ParseAddr(word); err == nil {
		return "dragon"
	}
	if ext := filepath.Ext(word); ext == ".yml" || ext == ".yaml" {
		return "config.file"
	}
	return ""
}

func didYouMean(err error, candidates []string, prefix string) error {
	if len(candidates) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean %s%s?", err, prefix, strings.Join(candidates, " or "+prefix))
}

// similar returns the candidates that contain all parts of a wrong name, if they are few,
// else the one with the least distance to it.
func similar(wrong string, candidates []string) (like []string) {
	parts := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) })
	}
	wanted := parts(wrong)
	for _, c := range candidates {
		has := parts(c)
		if len(wanted) > 0 && !slices.ContainsFunc(wanted, func(p string) bool { return !slices.Contains(has, p) }) {
			like = append(like, c)
		}
	}
	slices.Sort(like)
	like = slices.Compact(like)
	if len(like) > 0 && len(like) <= 3 {
		return like
	}
	if best := config.Nearest(wrong, candidates); best != "" {
		return []string{best}
	}
	return nil
}

func flagNames(flags []*kingpin.FlagModel) (found []string) {
	for _, f := range flags {
		if !f.Hidden {
			found = append(found, f.Name)
		}
	}
	slices.Sort(found)
	return found
}
