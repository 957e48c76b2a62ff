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

// ErrNotDone is a question that was answered by nothing that would do.
var ErrNotDone = errors.New("not done")

// IsTerminal reports whether there is somebody to ask.
func IsTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// Ask asks for a line. Who ends the program instead of answering has answered, too; what
// is typed later is nobody's.
func Ask(ctx context.Context, stderr io.Writer, question string) (string, error) {
	stdin := os.Stdin // here, since the reader may outlive the question
	fmt.Fprint(stderr, question)
	return answer(ctx, stderr, func() (string, error) {
		line, err := bufio.NewReader(stdin).ReadString('\n')
		if err != nil { // the cursor is behind the question still
			fmt.Fprintln(stderr)
		}
		return strings.TrimRight(line, "\r\n"), err
	})
}

// answer is what read reads, as long as ctx is not done.
func answer(ctx context.Context, stderr io.Writer, read func() (string, error)) (string, error) {
	type line struct {
		text string
		err  error
	}
	came := make(chan line, 1)
	go func() {
		text, err := read()
		came <- line{text, err}
	}()
	select {
	case l := <-came:
		if l.err != nil {
			return "", fmt.Errorf("%w: no answer", ErrNotDone)
		}
		return l.text, nil
	case <-ctx.Done():
		fmt.Fprintln(stderr)
		return "", fmt.Errorf("%w: interrupted", ErrNotDone)
	}
}

// Agree asks a question, where there is somebody to ask.
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
		return "", fmt.Errorf("the %s cannot be asked for: this is no terminal; put it into a file", what)
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
		_ = term.Restore(stdin, before) // who was interrupted wants to see what is typed next
		return "", err
	}
	if password == "" {
		return "", errors.New("no password")
	}
	return dragon.Secret(password), nil
}
