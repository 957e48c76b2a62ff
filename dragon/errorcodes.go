package dragon

import (
	"context"
	"strings"
)

// ErrorText returns what a dragon's error code means, empty if it is not known. Codes:
// what other tools know of Innosilicon's; no vendor document lists them.
func ErrorText(code string) string {
	switch strings.TrimLeft(strings.TrimSpace(code), "0") {
	case "21":
		return "plug signal missing"
	case "22", "29":
		return "no I2C connection to the power supply"
	case "23":
		return "SPI blocked on all boards"
	case "24":
		return "SPI blocked on some boards"
	case "25":
		return "setting the frequency failed"
	case "26":
		return "setting the voltage failed"
	case "27":
		return "chip self-test failed"
	case "28":
		return "SPI communication abnormal"
	case "30":
		return "no connection to a pool"
	case "31":
		return "chips damaged"
	case "32":
		return "too hot"
	case "33", "36", "42":
		return "hash board fault"
	case "34":
		return "cables in the wrong order"
	case "35":
		return "no power output"
	case "37":
		return "boards do not match"
	case "40", "41":
		return "power output abnormal"
	}
	return ""
}

// ErrorReport is an error that the dragon found in itself.
type ErrorReport struct {
	Code        string // code; empty if there is none
	Message     string // errmsg or msg, as the dragon puts it
	Description string // getErrorDetail only
	Analysis    string // getErrorDetail only
}

func (e *ErrorReport) tidy() *ErrorReport {
	if strings.Trim(e.Code, "0 ") == "" {
		e.Code = ""
	}
	return e
}

var errorMessageFields = table(
	text("code", func(e *ErrorReport) *string { return &e.Code }).always(),
	text("errmsg", func(e *ErrorReport) *string { return &e.Message }),
)

// ErrorMessage reads /api/getErrorMessage, of Innosilicon. The Code is empty if the
// dragon knows of no error; that is also what an empty answer says.
func (c *Client) ErrorMessage(ctx context.Context) (*ErrorReport, error) {
	e := read("getErrorMessage")
	e.emptyIsNothing = true
	report, _, err := call(ctx, c, e, nil, &errorMessageFields)
	if err != nil {
		return nil, err
	}
	return report.tidy(), nil
}

var errorDetailFields = table(
	text("code", func(e *ErrorReport) *string { return &e.Code }).always(),
	object("detail", &errorDetailDetailFields, func(e *ErrorReport) *ErrorReport { return e }),
)

var errorDetailDetailFields = table(
	text("msg", func(e *ErrorReport) *string { return &e.Message }),
	text("description", func(e *ErrorReport) *string { return &e.Description }),
	text("analysis", func(e *ErrorReport) *string { return &e.Analysis }),
)

// ErrorDetail reads /api/getErrorDetail, of Innosilicon since 2020. Its shape is known
// from the vendor's user interface only.
func (c *Client) ErrorDetail(ctx context.Context) (*ErrorReport, error) {
	e := read("getErrorDetail")
	e.emptyIsNothing = true
	report, _, err := call(ctx, c, e, nil, &errorDetailFields)
	if err != nil {
		return nil, err
	}
	return report.tidy(), nil
}
