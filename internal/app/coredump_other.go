//go:build !linux

package app

// DisableCoreDumps does nothing here: releases are for Linux.
func DisableCoreDumps() error { return nil }
