package cmd

import (
	"strconv"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
)

// exitIncomplete is the exit status of a scan that some hosts did not answer.
const exitIncomplete = 3

func scanSummary(dragons int, s discovery.Status) string {
	text := counted(dragons, "dragon", "dragons")
	if n := len(s.Unanswered); n > 0 {
		text += "; " + counted(n, "host", "hosts") + " accepted the connection but did not answer (" + some(s.Unanswered) + ")"
	}
	return text
}

// some are the first of a long list.
func some(addresses []string) string {
	const most = 5
	if len(addresses) > most {
		return strings.Join(addresses[:most], ", ") + " …"
	}
	return strings.Join(addresses, ", ")
}

// counted is a number of things: 4,964 dragons.
func counted(n int, one, many string) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if n == 1 {
		return text + " " + one
	}
	return text + " " + many
}
