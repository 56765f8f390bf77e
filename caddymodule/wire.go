package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// errUnsendable means that a request cannot be put on the wire, now or later: placeholders have brought something of the event into its header that no header can hold.
var errUnsendable = errors.New("cannot be sent")

// checkSendable looks at what net/http would refuse, which looks like a failure of the application then.
func checkSendable(req *http.Request) error {
	if !httpguts.ValidHostHeader(req.Host) {
		return fmt.Errorf("%w: header Host would hold a character that no header can hold", errUnsendable)
	}
	unfit := func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }
	for name, values := range req.Header {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return fmt.Errorf("%w: a header's name would hold a character that none can hold", errUnsendable)
		case slices.ContainsFunc(values, unfit):
			return fmt.Errorf("%w: header %s would hold a character that no header can hold", errUnsendable, name)
		}
	}
	return nil
}

// errControlCharacter is what is wrong with a file that has more than the secret in it, such as a comment or the lines of another one.
var errControlCharacter = errors.New("has a line break or another control character")

// fitsHeader refuses a secret that no header can hold.
func fitsHeader(secret verifiers.Secret) error {
	if !httpguts.ValidHeaderFieldValue(string(secret.Bytes())) {
		return errControlCharacter
	}
	return nil
}

// fitsUser refuses what cannot be a user of HTTP Basic (RFC 7617).
func fitsUser(secret verifiers.Secret) error {
	if bytes.IndexByte(secret.Bytes(), ':') >= 0 {
		return errors.New("has a colon, which no user of basic can have")
	}
	return fitsHeader(secret)
}
