package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *settings) judgePackage(ctx context.Context, name string, sum score) error {
	found, clause, err := s.find(name)
	if err != nil {
		return err
	}
	tests, err := s.measure(ctx, name)
	if err != nil {
		return err
	}
	all := found
	for found = nil; len(all) > 0 && (s.sample == 0 || len(found) < s.sample); all = all[1:] {
		if m := all[0]; s.match.MatchString(fmt.Sprintf("%s:%d %s", m.file, m.line, m)) && len(reaching(m, tests)) > 0 {
			found = append(found, m)
		}
	}
	for len(found) > 0 {
		var batch []mutant
		batch, found = apart(found)
		if batch, err = s.build(ctx, name, clause, batch); err != nil {
			return err
		}
		for number, m := range batch {
			verdict, by := "equivalent", ""
			if s.equivalent[m.String()] == "" {
				verdict, by = s.judge(ctx, name, number+1, m, tests)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			sum[verdict]++
			fmt.Fprintf(s.out, "%s:%d: %s: %s => %s: %s%s\n", m.file, m.line, m.function, m.from, m.to, verdict, by)
		}
	}
	return nil
}

// find returns the mutants of a package in the order of the sample, with the package
// clause, and says which equivalent ones are no more.
func (s *settings) find(name string) (found []mutant, clause string, err error) {
	files, err := filepath.Glob(filepath.Join(s.root, name, "*.go"))
	names := map[string]bool{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path) //nolint:gosec // of this tree
		if err != nil {
			return nil, "", err
		}
		more, err := mutants(name+"/"+filepath.Base(path), src)
		if err != nil {
			return nil, "", err
		}
		clause = regexp.MustCompile(`(?m)^package \w+`).FindString(string(src))
		found = append(found, more...)
	}
	for _, m := range found {
		names[m.String()] = true
	}
	for listed := range s.equivalent {
		if file, _, _ := strings.Cut(listed, " "); filepath.Dir(file) == name && !names[listed] {
			fmt.Fprintln(s.out, "listed as equivalent, but not there: "+listed)
		}
	}
	slices.SortStableFunc(found, func(a, b mutant) int { return cmp.Compare(a.rank(s.seed), b.rank(s.seed)) })
	return found, clause, err
}

// rank is a mutant's place in the order of a seed. A change elsewhere does not move it.
func (m mutant) rank(seed string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, m.String()+" "+seed)
	x := h.Sum64()
	return (x ^ x>>33) * 0xff51afd7ed558ccd // else the last letters do not reach the high bits
}

// apart takes those that do not overlap, which one program can have together.
func apart(found []mutant) (batch, rest []mutant) {
	for _, m := range found {
		if slices.ContainsFunc(batch, func(o mutant) bool { return m.file == o.file && m.begin < o.end && o.begin < m.end }) {
			rest = append(rest, m)
		} else {
			batch = append(batch, m)
		}
	}
	return batch, rest
}

// A test is a test of the package, with how long its short form takes and the lines that
// it runs.
type test struct {
	name    string
	took    time.Duration
	skipped bool // it is a long one
	covered lines
}

// measure runs each test alone, unchanged. The cheapest come first.
func (s *settings) measure(ctx context.Context, name string) ([]test, error) {
	program, profile := filepath.Join(s.dir, "covered"), filepath.Join(s.dir, "profile")
	if out, err := s.compile(ctx, program, name, "-cover"); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	list, err := s.start(ctx, program, name, 0, "-test.list=^(Test|Fuzz|Example)")
	if err != nil {
		return nil, err
	}
	var tests []test
	for one := range strings.FieldsSeq(string(list)) {
		begin := time.Now()
		out, err := s.start(ctx, program, name, 0, "-test.short", "-test.v", "-test.run=^"+one+"$", "-test.coverprofile="+profile)
		if err != nil {
			return nil, fmt.Errorf("%s fails unchanged: %w\n%s", one, err, out)
		}
		took := time.Since(begin)
		text, err := os.ReadFile(profile) //nolint:gosec // of this run
		if err != nil {
			return nil, err
		}
		tests = append(tests, test{name: one, took: took, skipped: bytes.Contains(out, []byte("--- SKIP: ")), covered: covered(string(text))})
	}
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.took, b.took) })
	return tests, nil
}

func reaching(m mutant, tests []test) []test {
	return slices.DeleteFunc(slices.Clone(tests), func(t test) bool {
		return !t.covered[line{filepath.Base(m.file), m.line}]
	})
}

// build compiles the tests with a batch of mutants, and returns those that compile.
func (s *settings) build(ctx context.Context, name, clause string, batch []mutant) ([]mutant, error) {
	for {
		if err := s.overlay(name, clause, batch); err != nil {
			return nil, err
		}
		os.Remove(filepath.Join(s.dir, "1")) //nolint:errcheck // of the batch before
		os.Remove(filepath.Join(s.dir, "2")) //nolint:errcheck
		out, err := s.compile(ctx, filepath.Join(s.dir, "0"), name, "-overlay="+filepath.Join(s.dir, "overlay"))
		if err == nil {
			return batch, nil
		}
		wrong := map[string]bool{}
		for _, at := range regexp.MustCompile(`(?m)(\w+\.go):(\d+):\d+: `).FindAllStringSubmatch(string(out), -1) {
			number, _ := strconv.Atoi(at[2])
			best := mutant{}
			for _, m := range batch {
				if m.file == name+"/"+at[1] && m.line <= number && m.line > best.line {
					best = m
				}
			}
			wrong[best.String()] = true
		}
		left := slices.DeleteFunc(slices.Clone(batch), func(m mutant) bool { return wrong[m.String()] })
		if len(left) == len(batch) {
			return nil, fmt.Errorf("no mutant is to blame: %w\n%s", err, out)
		}
		batch = left
	}
}

// overlay writes the files with the mutants, numbered from 1, and the list of them for
// the compiler.
func (s *settings) overlay(name, clause string, batch []mutant) error {
	added := filepath.Join(s.dir, "chooser.go")
	replace := map[string]string{filepath.Join(s.root, name, "mutant_chooser.go"): added}
	sources := map[string]string{}
	for _, i := range slices.SortedFunc(maps.Keys(maps.Collect(slices.All(batch))), func(i, j int) int {
		return cmp.Compare(batch[j].begin, batch[i].begin) // from the end: the places before stay
	}) {
		m := batch[i]
		path := filepath.Join(s.root, m.file)
		if sources[path] == "" {
			src, err := os.ReadFile(path) //nolint:gosec // of this tree
			if err != nil {
				return err
			}
			sources[path] = string(src)
		}
		src := sources[path]
		sources[path] = src[:m.begin] + strings.ReplaceAll(m.text, mark, strconv.Itoa(i+1)) + src[m.end:]
	}
	err := os.WriteFile(added, []byte(clause+"\n"+chooser), 0o600)
	for path, src := range sources {
		replace[path] = filepath.Join(s.dir, filepath.Base(path))
		err = errors.Join(err, os.WriteFile(replace[path], []byte(src), 0o600))
	}
	text, bad := json.Marshal(map[string]any{"Replace": replace})
	return errors.Join(err, bad, os.WriteFile(filepath.Join(s.dir, "overlay"), text, 0o600))
}

// judge runs tests until one fails: the cheap short ones, the other short ones, those and
// the long ones in full, and those of other packages.
func (s *settings) judge(ctx context.Context, name string, number int, m mutant, tests []test) (verdict, by string) {
	program := filepath.Join(s.dir, "0")
	sets := [][]test{nil, nil, nil}
	took := []time.Duration{0, 0, 4 * time.Minute}
	for _, t := range reaching(m, tests) {
		i := 0
		if took[0]+t.took > 3*time.Second {
			i = 1
		}
		took[i] += t.took
		sets[i], sets[2] = append(sets[i], t), append(sets[2], t)
	}
	sets[2] = append(sets[2], slices.DeleteFunc(slices.Clone(tests), func(t test) bool { return !t.skipped })...)
	for i, set := range sets {
		if len(set) == 0 || i == 2 && s.short {
			continue
		}
		var names []string
		for _, t := range set {
			names = append(names, t.name)
		}
		arguments := []string{"-test.failfast", "-test.run=^(" + strings.Join(names, "|") + ")$"}
		if i < 2 {
			arguments = append(arguments, "-test.short")
		}
		timeout := 5*took[i] + 10*time.Second
		out, err := s.start(ctx, program, name, number, append(arguments, "-test.timeout="+timeout.String())...)
		if err != nil && timedOut(out) { // or other programs took the processor
			timeout = 10 * max(timeout, time.Minute)
			out, err = s.start(ctx, program, name, number, append(arguments, "-test.timeout="+timeout.String())...)
		}
		if err != nil {
			return failure(out)
		}
	}
	for i, other := range others[name] {
		if s.short {
			break
		}
		program := filepath.Join(s.dir, strconv.Itoa(i+1))
		if _, err := os.Stat(program); err != nil {
			if out, err := s.compile(ctx, program, other[0], "-overlay="+filepath.Join(s.dir, "overlay")); err != nil {
				return "not built", ": " + string(out)
			}
		}
		out, err := s.start(ctx, program, other[0], number, "-test.short", "-test.failfast", "-test.run="+other[1], "-test.timeout=10m")
		if err != nil {
			return failure(out)
		}
	}
	return "survived", ""
}

func failure(out []byte) (verdict, by string) {
	if timedOut(out) {
		return "timeout", ""
	}
	return "killed", " by " + string(regexp.MustCompile(`(?:--- FAIL: |panic: )(.{0,60})`).Find(out))
}

func timedOut(out []byte) bool { return bytes.Contains(out, []byte("panic: test timed out")) }

func (s *settings) compile(ctx context.Context, program, name string, arguments ...string) ([]byte, error) {
	return s.command(ctx, s.root, 0, "go", append(append([]string{"test", "-c", "-vet=off", "-gcflags=-e", "-o", program}, arguments...), "./"+name)...)
}

func (s *settings) start(ctx context.Context, program, name string, number int, arguments ...string) ([]byte, error) {
	return s.command(ctx, filepath.Join(s.root, name), number, program, arguments...)
}

func (s *settings) command(ctx context.Context, dir string, number int, program string, arguments ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // what was just built
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+s.dir, "MUTANT="+strconv.Itoa(number))
	cmd.WaitDelay = time.Minute
	return cmd.CombinedOutput()
}

// lines are those that a test ran, by the names of the files of its package.
type lines map[line]bool

type line struct {
	file   string
	number int
}

// covered reads a profile of go test.
func covered(profile string) lines {
	ran := lines{}
	for text := range strings.Lines(profile) {
		file, rest, _ := strings.Cut(text, ":")
		var first, from, last, to, statements, count int
		n, _ := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &first, &from, &last, &to, &statements, &count)
		for ; n == 6 && count > 0 && first <= last; first++ {
			ran[line{filepath.Base(file), first}] = true
		}
	}
	return ran
}
