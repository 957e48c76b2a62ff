package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// ErrNotDone says that the user did not confirm.
var ErrNotDone = errors.New("not done")

// IsTerminal reports whether the user can be asked.
func IsTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// Ask asks for a line. Ctrl-C is an answer, too: ErrNotDone.
func Ask(ctx context.Context, stderr io.Writer, question string) (string, error) {
	stdin := os.Stdin // read here, since the reader may outlive the question
	fmt.Fprint(stderr, question)
	return answer(ctx, stderr, func() (string, error) {
		line, err := bufio.NewReader(stdin).ReadString('\n')
		if err != nil { // the cursor is still behind the question
			fmt.Fprintln(stderr)
		}
		return strings.TrimRight(line, "\r\n"), err
	})
}

// answer returns what read returns, or ErrNotDone once ctx is done.
func answer(ctx context.Context, stderr io.Writer, read func() (string, error)) (string, error) {
	type line struct {
		text string
		err  error
	}
	answered := make(chan line, 1)
	go func() {
		text, err := read()
		answered <- line{text, err}
	}()
	select {
	case l := <-answered:
		if l.err != nil {
			return "", fmt.Errorf("%w: no answer", ErrNotDone)
		}
		return l.text, nil
	case <-ctx.Done():
		fmt.Fprintln(stderr)
		return "", fmt.Errorf("%w: interrupted", ErrNotDone)
	}
}

// Agree asks for a yes. Without a terminal its error is otherwise.
func Agree(ctx context.Context, stderr io.Writer, question, otherwise string) error {
	if !IsTerminal() {
		return errors.New(otherwise)
	}
	line, err := Ask(ctx, stderr, question+"? [y/N] ")
	if err != nil {
		return err
	}
	if s := strings.ToLower(strings.TrimSpace(line)); s != "y" && s != "yes" {
		return ErrNotDone
	}
	return nil
}

// AskPassword asks for a password without showing it.
func AskPassword(ctx context.Context, stderr io.Writer, what string) (dragon.Secret, error) {
	if !IsTerminal() {
		return "", fmt.Errorf("cannot ask for the %s: standard input is not a terminal; use a file", what)
	}
	stdin := int(os.Stdin.Fd())
	before, err := term.GetState(stdin)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(stderr, "%s: ", what)
	password, err := answer(ctx, stderr, func() (string, error) {
		p, err := term.ReadPassword(stdin)
		fmt.Fprintln(stderr)
		return string(p), err
	})
	if err != nil {
		_ = term.Restore(stdin, before) // after Ctrl-C the terminal would not echo
		return "", err
	}
	if password == "" {
		return "", errors.New("the password is empty")
	}
	return dragon.Secret(password), nil
}
