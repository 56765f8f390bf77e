package verifiers

import "time"

// Reply is a handshake's answer.
type Reply struct {
	Status      int
	ContentType string
	Header      map[string]string
	Body        []byte

	// StoreSecret, if set, is a secret that the handshake brought: it becomes a live secret of the source before the reply is sent.
	StoreSecret []byte
	// Surface, if set, is something the operator must be shown (a verification token to paste into the provider's dashboard).
	Surface string
	// Visit, if set, is an address that must be fetched (GET) to confirm, from the allowed host only, before the reply is sent.
	Visit string
}

// Identity names one event of a request.
type Identity struct {
	EventID  string // never empty: a hash of the body where the provider has no id
	Type     string
	Time     time.Time // zero if unknown
	Subject  string
	DedupKey string // empty: nothing tells a retry from a new event (see Dedup.Whole)
	Body     []byte // the element, when a batch was split; nil: the request's body
}
