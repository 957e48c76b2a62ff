package dragon

import (
	"context"
	"slices"
	"strings"
)

// ErrorText returns the meaning of a dragon's error code, or of several as in
// ErrorReport.Code; empty if unknown. Source: other tools for Innosilicon; no vendor
// document lists the codes.
func ErrorText(code string) string {
	var texts []string
	for one := range strings.SplitSeq(code, ",") {
		if text := errorTexts[strings.TrimLeft(strings.TrimSpace(one), "0")]; text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "; ")
}

var errorTexts = map[string]string{
	"21": "plug signal missing", "22": "no I2C connection to the power supply", "23": "SPI blocked on all boards",
	"24": "SPI blocked on some boards", "25": "setting the frequency failed", "26": "setting the voltage failed",
	"27": "chip self-test failed", "28": "SPI communication abnormal", "29": "no I2C connection to the power supply",
	"30": "no connection to a pool", "31": "chips damaged", "32": "too hot", "33": "hash board fault",
	"34": "cables in the wrong order", "35": "no power output", "36": "hash board fault", "37": "boards do not match",
	"40": "power output abnormal", "41": "power output abnormal", "42": "hash board fault",
}

// ErrorReport is the error that the dragon reports.
type ErrorReport struct {
	Code        string // code; several are separated by commas; empty if there is none
	Message     string // errmsg or msg, as the dragon puts it
	Description string // getErrorDetail only
	Analysis    string // getErrorDetail only

	Unreadable []string // as in Summary
}

// Codes are the codes in Code, each once.
func (e *ErrorReport) Codes() []string {
	if e.Code == "" {
		return nil
	}
	return strings.Split(e.Code, ",")
}

// Bounds on the codes of one dragon, which become labels.
const (
	maxErrorCodes = 16
	longestCode   = 32
)

// errorCodes reads a code, a list of them, or a text that holds several. 0 is not an error.
func errorCodes(r *reader, e *ErrorReport) (ok bool) {
	var codes []string
	add := func(text string) {
		for _, code := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",;|/ ", r) }) {
			if strings.Trim(code, "0") == "" || slices.Contains(codes, code) {
				continue
			}
			if len(codes) == maxErrorCodes || len(code) > longestCode {
				ok = false
				continue
			}
			codes = append(codes, code)
		}
	}
	switch r.dec.PeekKind() {
	case '[', '{':
		ok = true
		if !r.elements(maxErrorCodes, func(int, string) {
			text, readable := r.text(maxText)
			ok = ok && readable
			add(text)
		}) {
			ok = false
		}
	default:
		var text string
		text, ok = r.text(maxText)
		add(text)
	}
	e.Code = strings.Join(codes, ",")
	return ok
}

var errorMessageFields = table(
	own("code", errorCodes).always(),
	text("errmsg", func(e *ErrorReport) *string { return &e.Message }),
)

// ErrorMessage reads /api/getErrorMessage, of Innosilicon. The Code is empty without an
// error; an empty answer means the same.
func (c *Client) ErrorMessage(ctx context.Context) (*ErrorReport, error) {
	return c.errorReport(ctx, "getErrorMessage", &errorMessageFields)
}

func (c *Client) errorReport(ctx context.Context, name string, f *fields[ErrorReport]) (*ErrorReport, error) {
	e := read(name)
	e.emptyIsNothing = true
	report, a, err := call(ctx, c, e, nil, f)
	if err != nil {
		return nil, err
	}
	report.Unreadable = a.unreadable
	return report, nil
}

var errorDetailFields = table(
	own("code", errorCodes).always(),
	own("detail", func(r *reader, e *ErrorReport) (ok bool) {
		switch r.dec.PeekKind() {
		case '"', 'n': // of no error, as far as is known
			e.Message, ok = r.text(maxText)
			return ok
		}
		return readObject(r, "detail", &errorDetailDetailFields, e)
	}),
)

var errorDetailDetailFields = table(
	text("msg", func(e *ErrorReport) *string { return &e.Message }),
	text("description", func(e *ErrorReport) *string { return &e.Description }),
	text("analysis", func(e *ErrorReport) *string { return &e.Analysis }),
)

// ErrorDetail reads /api/getErrorDetail, of Innosilicon since 2020. Its shape is known
// from the vendor's user interface only.
func (c *Client) ErrorDetail(ctx context.Context) (*ErrorReport, error) {
	return c.errorReport(ctx, "getErrorDetail", &errorDetailFields)
}
