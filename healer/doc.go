// Package healer decides what to do about sick dragons.
//
// Its heart is Decide, a function of the time, what is seen of the fleet, what is
// remembered, and the policy. It does no I/O, starts no goroutine and reads no clock,
// so that plan, enforcement, the check of a new configuration and the tests all run
// the very same rules. Package internal/agent has the effects.
//
// A cycle goes like this:
//
//	facts      what one reading says of one dragon           facts.go
//	evidence   consecutive fresh samples, per detector       evidence.go, detectors.go, baseline.go
//	causes     what many dragons have in common              causes.go
//	states     where each dragon stands, what an action did  state.go, outcome.go
//	rollouts   bringing a change to the dragons, in waves    rollout.go, and what it brings:
//	             a configuration                             desired.go, drift.go, config_rollout.go, config_verdict.go
//	             the healer's own mode for a while            curtail.go, downshift.go, overlay.go
//	             firmware                                    firmware_rollout.go, firmware_waves.go, firmware_phases.go, firmware_trial.go
//	breakers   when to stop                                  breakers.go, slow.go
//	ladder     what the next step would be                   ladder.go
//	gates      everything that must agree before it is taken gates.go, budget.go
//	plan       the decisions, and why                        plan.go, audit.go; as text: explain/
//
// A decision is carried out by an Attempt (attempt.go), in this order. The agent and the
// simulated farm run the same one.
//
//	look       the dragon is read once more and is as it was: ladder 2, rollout 1, request 0
//	identify   it says who it is, and what it is configured for
//	persist    the intent is on the disk
//	identify   it says again who it is
//	send       one write
//	persist    the result is on the disk
//
// Before each step up to the send, everything that may have changed is asked again: STOP,
// pauses, the mode, the state of the store, the ceilings (Interlock). Before the intent of a
// request all gates are asked again, too. A write that is
// stopped after its intent stays charged. What happened to the dragon is then read off its
// own clock, by Decide.
package healer
