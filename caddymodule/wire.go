package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"
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
