// Package healer decides what to do about sick dragons.
//
// Its heart is Decide, a function of the time, what is seen of the fleet, what is
// remembered, and the policy. It does no I/O, starts no goroutine and reads no clock,
// so that plan, enforcement, the check of a new configuration and the tests all run
// the very same rules.
//
// A cycle goes like this:
//
//	facts      what one reading says of one dragon           facts.go
//	evidence   consecutive fresh samples, per detector       evidence.go, detectors.go, baseline.go
//	causes     what many dragons have in common              causes.go
//	states     where each dragon stands, what an action did  state.go, outcome.go
//	wishes     what is otherwise than wished           wish.go, enforce.go, rollout.go
//	breakers   when to stop                                  breakers.go
//	ladder     what the next step would be                   ladder.go
//	gates      everything that must agree before it is taken gates.go, budget.go
//	plan       the decisions, and why                        plan.go, render.go, audit.go
//
// Whoever carries out a decision writes it down first (Memory.Intend, then the
// store), asks the Interlock, sends once, and writes down the result
// (Memory.Sent). What happened to the dragon is then read off its own clock, by Decide.
package healer
