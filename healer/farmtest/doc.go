// Package farmtest is a simulated farm in front of healer.Decide: dragons that boot,
// tune, overheat and break, pools, switches, power and weather, the healer's own host
// with its clock and its store, and people who get in the way. It is driven by a
// script of faults, one tick at a time: no sockets, no goroutines, no clock but its
// own, so that a week of a hundred dragons takes seconds and the same script gives the
// same bytes.
//
//	script.go    the faults as text
//	verbs.go     what a script may say
//	world.go     everything that is not a dragon: pools, switches, power, the host
//	dragon.go    one dragon, as it is
//	defects.go   what can be wrong with it
//	reading.go   how it shows itself to the fleet
//	shell.go     a healer's process: its store, its sends, its death
//	oracle.go    what must hold, judged by what reached the dragons and what was injected;
//	             one file for each group of invariants
//	original.go  the policy of the original tool, to compare with
//	random.go    random scripts, and how a failing one is made smaller
//
// It is for tests only, and not part of the program.
package farmtest
