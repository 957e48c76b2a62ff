// Command mutation breaks the code in small ways, one at a time, and says which changes
// no test notices. Go's overlay shows the changes to the compiler: no file of the tree is
// written. Tests that read or build the sources themselves do not see them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

// What tests a package beside its own tests: a package, and which of its short tests.
var others = map[string][][2]string{
	"dragon":         {{"dragon/dragontest", "."}},
	"healer":         {{"healer/farmtest", "^TestStories$"}, {"internal/agent", "."}},
	"internal/fleet": {{"internal/agent", "."}},
}

type settings struct {
	root, seed, dir string // dir: for temporary files
	sample          int
	short           bool
	match           *regexp.Regexp
	equivalent      map[string]string // why, by the name of the mutant
	out             io.Writer
}

func main() {
	s := settings{out: os.Stdout}
	flag.StringVar(&s.root, "root", "..", "root of the tree")
	flag.IntVar(&s.sample, "sample", 40, "mutants per package; 0 for all")
	flag.StringVar(&s.seed, "seed", "1", "seed of the sample")
	flag.BoolVar(&s.short, "short", false, "only the short tests of the package itself")
	match := flag.String("match", "", "only mutants of which file:line, function or change match this")
	list := flag.String("equivalent", "mutation/equivalent.txt", "list of equivalent mutants")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := s.run(ctx, *list, *match, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func (s *settings) run(ctx context.Context, list, match string, packages []string) error {
	text, err := os.ReadFile(list) //nolint:gosec // a flag
	if err != nil {
		return err
	}
	if s.equivalent, err = readEquivalent(string(text)); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	if s.match, err = regexp.Compile(match); err != nil {
		return err
	}
	if s.root, err = filepath.Abs(s.root); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "mut"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(s.dir) }()
	all := score{}
	for _, name := range packages {
		one := score{}
		if err := s.judgePackage(ctx, name, one); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintln(s.out, name+":", one)
		for verdict, n := range one {
			all[verdict] += n
		}
	}
	fmt.Fprintln(s.out, "all:", all)
	return nil
}

// A score counts mutants by verdict.
type score map[string]int

func (s score) String() string {
	killed := s["killed"] + s["timeout"]
	of := killed + s["survived"]
	return fmt.Sprintf("killed %d of %d (%d %%), and %d equivalent", killed, of, 100*killed/max(1, of), s["equivalent"])
}

// readEquivalent reads the list: a mutant as it is printed, without the line, and in the
// next line, after a tab, why no test can tell it from the original.
func readEquivalent(text string) (map[string]string, error) {
	why := map[string]string{}
	name := ""
	for number, line := range strings.Split(text, "\n") {
		reason, indented := strings.CutPrefix(line, "\t")
		switch {
		case strings.HasPrefix(line, "#") || line == "" && name == "":
		case indented == (name == "") || indented && reason == "":
			return nil, fmt.Errorf("line %d: expected a mutant, and in the next line, after a tab, the reason", number+1)
		case indented:
			why[name], name = reason, ""
		case why[line] != "":
			return nil, fmt.Errorf("line %d: the mutant is listed twice", number+1)
		default:
			name = line
		}
	}
	return why, nil
}
