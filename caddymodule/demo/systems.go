package demo

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// system is one of the five that send events.
type system struct {
	source   string
	provider *verifiers.Provider
	secret   verifiers.Secret
	to       *url.URL
	types    []string // kinds of events it sends
}

// sourceNames are the systems in the order in which the story has them.
var sourceNames = []string{"heyvisa", "legaltalent_kyc", "scan_documents", "verifeye", "vericato"}

func newSystems(s *secrets, gateway string) (map[string]*system, error) {
	systems := make(map[string]*system)
	for source, config := range map[string]struct{ secret, address string }{
		"heyvisa":         {s.heyvisa, "/heyvisa"},
		"legaltalent_kyc": {s.legaltalent, "/legaltalent_kyc"},
		"scan_documents":  {s.scanDocuments, "/scan_documents"},
		"verifeye":        {"", "/verifeye/" + s.verifeye},
		"vericato":        {"", "/vericato?token=" + s.vericato},
	} {
		spec, err := catalogue.Lookup(source)
		if err != nil {
			return nil, err
		}
		provider, err := verifiers.Compile(spec)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", source, err)
		}
		to, err := url.Parse("http://" + gateway + config.address)
		if err != nil {
			return nil, fmt.Errorf("address of %s: %w", source, err)
		}
		sys := &system{source: source, provider: provider, secret: verifiers.NewSecret([]byte(config.secret)), to: to}
		for _, e := range spec.Examples {
			sys.types = append(sys.types, e.Type)
		}
		systems[source] = sys
	}
	return systems, nil
}

// request is a signed request of a system and the event in it.
type request struct {
	*verifiers.Request
	system  *system
	eventID string // the provider's
}

// compose makes the system's next event, signed at a time. The ids in it come from that time, so no two events may have the same.
func (sys *system) compose(eventType string, at time.Time) (*request, error) {
	m := sender.Message{Provider: sys.provider, Secret: sys.secret, To: sys.to, Type: eventType, At: at}
	r, err := m.Build()
	if err != nil {
		return nil, err
	}
	return sys.identify(r)
}

func (sys *system) identify(r *verifiers.Request) (*request, error) {
	identities, err := sys.provider.Identify(r, false)
	if err != nil {
		return nil, fmt.Errorf("reading what %s sends: %w", sys.source, err)
	}
	return &request{Request: r, system: sys, eventID: identities[0].EventID}, nil
}

// again is the same event as its provider sends it once more: signed anew where the time of the attempt is signed, else the same bytes.
func (r *request) again(at time.Time) (*request, error) {
	copied := *r.Request
	copied.Header = r.Header.Clone()
	copied.Body = slices.Clone(r.Body)
	copied.At = at
	if r.system.provider.Spec().Timestamp.Meaning != "event" {
		if err := r.system.provider.Sign(&copied, r.system.secret, r.eventID, at); err != nil {
			return nil, fmt.Errorf("signing as %s: %w", r.system.source, err)
		}
	}
	return &request{Request: &copied, system: r.system, eventID: r.eventID}, nil
}

// tally is what the sender knows: what it sent and what it was answered.
type tally struct {
	mu      sync.Mutex
	events  map[string]bool // source and id of events that were accepted
	fresh   int             // requests with a new event
	repeats int             // requests with one that was sent before
	forged  int             // requests that are not genuine
	broken  int             // requests whose connection broke off without an answer; they were sent again
	wrong   []string        // answers that are not as they should be, in words
}

func newTally() *tally { return &tally{events: make(map[string]bool)} }

func (t *tally) genuine(r *request, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := r.system.source + " " + r.eventID
	if t.events[key] {
		t.repeats++
	} else {
		t.fresh++
		t.events[key] = true
	}
	if status < 200 || status > 299 {
		t.wrong = append(t.wrong, fmt.Sprintf("%s was answered %d for a genuine event", r.system.source, status))
	}
}

func (t *tally) unanswered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken++
}

func (t *tally) forgery(source, what string, want, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forged++
	if status != want {
		t.wrong = append(t.wrong, fmt.Sprintf("%s was answered %d, not %d, for: %s", source, status, want, what))
	}
}

func (t *tally) accepted() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.events)
}

// maxSends is how often a request is sent whose connection breaks off.
const maxSends = 5

// send sends a genuine request, and once more if it gets no answer at all, as every provider does: where the system closes a listener for a reload, connections
// that it has not accepted yet are lost.
func (s *stage) send(ctx context.Context, r *request, note string) error {
	s.facts.expect(r.system.source, note)
	for sent := 1; ; sent++ {
		answer, err := s.client.Send(ctx, r.Request, nil)
		if err == nil {
			s.tally.genuine(r, answer.Status)
			return nil
		}
		if sent == maxSends || ctx.Err() != nil {
			return err
		}
		s.tally.unanswered()
		s.out.line(yellow, "no answer", r.system.source, "", "the connection broke off; the provider sends the event again")
	}
}

// forge sends a request that must be refused with a status.
func (s *stage) forge(ctx context.Context, source string, r *verifiers.Request, want int, note string) error {
	s.facts.expect(source, note)
	answer, err := s.client.Send(ctx, r, nil)
	if err != nil {
		return err
	}
	s.tally.forgery(source, note, want, answer.Status)
	return nil
}

// edited returns a copy of a request that the caller may change.
func edited(r *request, change func(*verifiers.Request)) *verifiers.Request {
	out := *r.Request
	out.Header = r.Header.Clone()
	address := *r.URL
	out.URL = &address
	change(&out)
	return &out
}

// splitKey takes a key of the tally apart.
func splitKey(key string) (source, eventID string) {
	source, eventID, _ = strings.Cut(key, " ")
	return source, eventID
}
