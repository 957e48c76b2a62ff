package cmdtest

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal makes a terminal so many columns wide, and returns it with the side on which a
// human sits.
func Terminal(t *testing.T, columns uint16) (tty, human *os.File) {
	t.Helper()
	human, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { human.Close() })
	fd := int(human.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return tty, human
}

// AtTerminal has the program's standard input be a terminal.
func AtTerminal(t *testing.T) (human *os.File) {
	t.Helper()
	tty, human := Terminal(t, 80)
	before := os.Stdin
	os.Stdin = tty
	t.Cleanup(func() { os.Stdin = before })
	return human
}
