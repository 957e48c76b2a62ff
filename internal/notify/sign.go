package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a message, as the Standard Webhooks specification has them.
const (
	HeaderID        = "Webhook-Id"        // the same for each attempt
	HeaderTimestamp = "Webhook-Timestamp" // of the attempt, in Unix seconds
	HeaderSignature = "Webhook-Signature" // only with a secret
)

const encodedSecret = "whsec_" // the rest of such a secret is base64

// CheckSecret returns an error for a secret that cannot be used.
func CheckSecret(secret string) error {
	switch key, err := keyOf(secret); {
	case err != nil:
		return fmt.Errorf("the secret begins with %s, and the rest is not base64", encodedSecret)
	case len(key) < 16:
		return fmt.Errorf("the secret has %d bytes; want 16 or more", len(key))
	}
	return nil
}

func keyOf(secret string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(secret, encodedSecret); ok {
		return base64.StdEncoding.DecodeString(encoded)
	}
	return []byte(secret), nil
}

// sign adds the headers of a message. What is signed is ID.TIMESTAMP.BODY, so that neither an
// old body nor an old time can be sent again.
func sign(h http.Header, secret, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	if secret == "" {
		return
	}
	key, _ := keyOf(secret) // CheckSecret has seen it
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	h.Set(HeaderSignature, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
