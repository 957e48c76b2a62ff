package web

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
)

// The cells that each row of a long list has are made here: a template takes ten times as long
// for them.

// badge is a state with what it means.
func badge(s healer.State) template.HTML {
	shown := "unknown"
	if s != "" {
		shown = explain.State(s)
	}
	return element("span", "badge "+tone(s), meanings[s], shown)
}

// element is an HTML element with text in it. What a dragon says may be in title and text.
func element(tag, class, title, text string) template.HTML {
	return markup("<" + tag + ` class="` + class + `" title="` + template.HTMLEscapeString(title) + `">` +
		template.HTMLEscapeString(text) + "</" + tag + ">")
}

func markup(s string) template.HTML {
	return template.HTML(s) //nolint:gosec // whatever a dragon says is escaped by element
}

// boardsCell is a square for each board of a dragon by slot, and for each missing one.
func boardsCell(a *DragonAnswer) template.HTML {
	if a.reading == nil {
		return ""
	}
	boards := a.reading.Summary.Boards
	var b strings.Builder
	for i := range boards {
		tone := "bad"
		if boards[i].Alive() {
			tone = "good"
		}
		b.WriteString(string(element("i", tone, fmt.Sprintf("board %d %s", boards[i].Slot, cut(20, boards[i].Status)), "")))
	}
	for range int(min(a.BoardsExpected.Or(0), 64)) - len(boards) {
		b.WriteString(string(element("i", "gone", "board missing", "")))
	}
	if b.Len() == 0 {
		return ""
	}
	return markup(`<span class="squares" role="img" aria-label="` + countOf(a.BoardsAlive) + " of " + countOf(a.BoardsExpected) + ` boards alive">` +
		b.String() + "</span>")
}

// barCell draws a bar.
func barCell(b *bar) template.HTML {
	return markup(`<svg class="bar ` + b.Tone + `" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">` +
		`<rect class="whole" width="100" height="4"/><rect class="part" width="` + b.Share + `" height="4"/></svg>`)
}
