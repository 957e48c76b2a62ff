package web

import (
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

// boardsCell is a square for each board of a dragon.
func boardsCell(a *DragonAnswer) template.HTML {
	list := squares(a)
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<span class="squares" role="img" aria-label="` + countOf(a.BoardsAlive) + " of " + countOf(a.BoardsExpected) + ` boards alive">`)
	for _, x := range list {
		b.WriteString(string(element("i", x.Tone, x.Says, "")))
	}
	b.WriteString("</span>")
	return markup(b.String())
}

// barCell draws a bar.
func barCell(b *bar) template.HTML {
	return markup(`<svg class="bar ` + b.Tone + `" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">` +
		`<rect class="whole" width="100" height="4"/><rect class="part" width="` + b.Share + `" height="4"/></svg>`)
}
