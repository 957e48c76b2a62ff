package dragon

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/html"
)

// startPage is what an HTML page says about who serves it.
type startPage struct {
	title       string
	hasPassword bool // it asks for a password
}

// brand is the brand that the title names, empty if none. A page that speaks of dragons
// elsewhere, also in a comment or a script, does not count.
func (p startPage) brand() Brand {
	switch brand := Brand(p.title); brand {
	case DragonMint, InnoMiner, AsicMiner:
		return brand
	}
	return ""
}

func readStartPage(body []byte) (p startPage) {
	z := html.NewTokenizer(bytes.NewReader(body))
	titled := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return p
		case html.StartTagToken, html.SelfClosingTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "title":
				if !titled && z.Next() == html.TextToken {
					p.title = string(bytes.TrimSpace(z.Text()))
				}
				titled = true
			case "input":
				p.hasPassword = p.hasPassword || isPassword(z)
			}
		}
	}
}

func isPassword(z *html.Tokenizer) bool {
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		if string(key) == "type" && strings.EqualFold(string(value), "password") {
			return true
		}
	}
	return false
}

// instead tells what answers in place of a dragon. resp is nil where it was not HTTP.
func (p startPage) instead(resp *http.Response, body []byte, err error) error {
	switch {
	case resp == nil && isTLS(err):
		return ErrHTTPS
	case resp == nil:
		return err
	case strings.HasPrefix(strings.ToLower(resp.Header.Get("Location")), "https:") && resp.StatusCode/100 == 3:
		return fmt.Errorf("%w: HTTP status %d to %s", ErrHTTPS, resp.StatusCode, excerpt([]byte(resp.Header.Get("Location")), nil))
	case resp.StatusCode == http.StatusBadRequest && bytes.Contains(bytes.ToUpper(body), []byte("HTTPS")):
		return fmt.Errorf("%w: HTTP status 400", ErrHTTPS)
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: HTTP status 401", ErrOtherLogin)
	case p.hasPassword:
		return fmt.Errorf("%w: its title is %q", ErrOtherLogin, excerpt([]byte(p.title), nil))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	case p.title != "":
		return fmt.Errorf("its title is %q", excerpt([]byte(p.title), nil))
	}
	return errors.Join(errors.New("its page has no title"), err)
}

// isTLS reports whether an answer that is not HTTP is a record of TLS: an alert, or a
// handshake, of any version.
func isTLS(err error) bool {
	return err != nil && (strings.Contains(err.Error(), `"\x15\x03`) || strings.Contains(err.Error(), `"\x16\x03`))
}
