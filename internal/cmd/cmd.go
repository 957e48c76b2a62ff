// Package cmd has the commands, one in a file. The families dragon and healer are
// packages of their own.
package cmd

import (
	"net"

	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/control"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/dragon"
)

// New returns the program with all its commands. It calls listening, unless nil, with
// every address that it listens on.
func New(listening func(net.Addr)) *cli.Program {
	p := cli.New(listening)
	var audit agent.OfflineAudit
	record := func(dir string, d dragon.Done) error {
		return audit.Record(dir, agent.ManualAction{MAC: d.MAC, Worker: d.Worker, Action: d.Action, Owner: d.Owner, Note: d.Note})
	}
	for _, add := range []func(*cli.Program){
		addRun, addCheckConfig, addConvertConfig, addScan, addInventory, addPlan, addAudit, addCapture, addDemo, addCompletion, addMan,
		addLeaveHA, control.Add, addFirmware,
	} {
		add(p)
	}
	dragon.Add(p, record)
	return p
}
