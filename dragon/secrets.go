package dragon

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// shownBytes is how much of an answer an error shows.
const shownBytes = 100

var (
	// secretValues are values that stand beside a key of a secret, also one cut short.
	secretValues = regexp.MustCompile(`(?i)("?(?:jwt|pass|password|newpassword|currentpassword|password[123])"?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*(?:"|$)|[^",&\s}]+)`)
	tokens       = regexp.MustCompile(`eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*`)
)

const cutSecret = "<secret>"

// excerpt returns the beginning of an answer for an error: printable and without secrets.
func excerpt(body []byte, secrets []string) string {
	// Far more than is shown, since cutting secrets out shortens it.
	text := redact(string(body[:min(len(body), 4096)]), secrets)
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !isPrintable(r):
			return '.'
		}
		return r
	}, strings.ToValidUTF8(text, "."))
	return string(cut([]byte(text), shownBytes))
}

func redact(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) < 3 { // a pool's "x" is not a secret, and is part of every text
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), strings.Trim(strconv.Quote(s), `"`)} {
			text = strings.ReplaceAll(text, form, cutSecret)
		}
	}
	text = tokens.ReplaceAllString(text, cutSecret)
	return secretValues.ReplaceAllString(text, `${1}"`+cutSecret+`"`)
}

// hideLogin hides the user and password in a URL.
func hideLogin(url string) string { return withLogin(url, cutSecret+"@") }

// PoolWithoutLogin removes the user and password from a pool's URL.
func PoolWithoutLogin(url string) string { return withLogin(url, "") }

// withLogin puts login, which ends with its @, in the place of the user and password in a URL.
// Those may have any character, so everything before the last @ is replaced.
func withLogin(url, login string) string {
	at := strings.LastIndexByte(url, '@')
	if at < 0 {
		return url
	}
	if scheme, _, found := strings.Cut(url[:at], "://"); found {
		login = scheme + "://" + login
	}
	return login + url[at+1:]
}

// What a dragon sends has no secret in the endpoints that are shown, as far as is known,
// but for the login that some write into a pool's URL. A firmware that is more talkative
// must not make us so.
var unmeant = []struct {
	is     *regexp.Regexp
	become string
}{
	{regexp.MustCompile(`(?i)("[^"]*(?:pass|pwd|jwt|token|secret)[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^\s",}\]]+)`), `${1}"<secret>"`},
	{regexp.MustCompile(`(?i)("[^"]*url"\s*:\s*"(?:[a-z0-9+.-]*:(?:\\?/){2})?)[^"]*@`), `${1}<secret>@`},
	{regexp.MustCompile(`(://)[^/@\s"\\]+@`), `${1}<secret>@`},
	{regexp.MustCompile(`(?i)((?:pass|pwd|token|secret)\w*\s*=\s*)[^\s&,;"]+`), `${1}<secret>`},
	{regexp.MustCompile(`eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*`), `<secret>`}, // a JWT
}

// Secretless hides what may be a secret in what a dragon sent.
func Secretless(s string) string {
	for _, secret := range unmeant {
		s = secret.is.ReplaceAllString(s, secret.become)
	}
	return s
}

// withoutSecrets returns err, or its text where that quotes a secret, is long or is not
// Printable: net/http quotes what it cannot read.
func withoutSecrets(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if fit := clean([]byte(redact(text, secrets)), maxCause); fit != text {
		return errors.New(fit)
	}
	return err
}

// maxCause bounds the text of a cause: an error is kept as long as a dragon is down.
const maxCause = 512

var secretFields = []string{"password", "currentPassword", "newPassword", "Password1", "Password2", "Password3"}

// secretsOf returns what must not be shown of a request.
func (c *Client) secretsOf(form url.Values, token Secret) []string {
	secrets := []string{string(token)}
	for _, name := range secretFields {
		secrets = append(secrets, form.Get(name))
	}
	for _, credential := range c.credentials() {
		secrets = append(secrets, string(credential.Password))
	}
	return secrets
}
