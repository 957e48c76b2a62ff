package app

import "golang.org/x/sys/unix"

// DisableCoreDumps keeps the passwords in memory out of core files, and the memory out of
// reach of other processes of the same user. The limit of systemd or a shell does neither
// where a crash handler collects the dumps.
func DisableCoreDumps() error {
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
