package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func (s *stage) forgeries(ctx context.Context) error {
	now := s.o.Now()
	forgeries := []struct {
		source string
		at     time.Time
		status int
		note   string
		change func(*verifiers.Request)
	}{
		{"heyvisa", now, http.StatusUnauthorized, "somebody changed the body on the way", func(r *verifiers.Request) {
			r.Body = bytes.ReplaceAll(r.Body, []byte("approved"), []byte("rejected"))
		}},
		{"heyvisa", now.Add(-10 * time.Minute), http.StatusUnauthorized, "recorded and played back ten minutes later", nil},
		{"scan_documents", now.Add(-time.Hour), http.StatusUnauthorized, "recorded and played back an hour later", nil},
		{"scan_documents", now, http.StatusUnauthorized, "not signed", func(r *verifiers.Request) { r.Header.Del("Svix-Signature") }},
		{"verifeye", now, http.StatusUnauthorized, "with a guessed token in the path", func(r *verifiers.Request) { r.URL.Path = "/verifeye/guess" }},
		{"vericato", now, http.StatusUnauthorized, "with a guessed token in the query", func(r *verifiers.Request) { r.URL.RawQuery = "token=guess" }},
		{"vericato", now, http.StatusBadRequest, "header and body speak of different verifications", func(r *verifiers.Request) {
			r.Header.Set("X-Vericato-Verification-Id", "ver_another")
		}},
		{"legaltalent_kyc", now, http.StatusRequestEntityTooLarge, "far too large", func(r *verifiers.Request) {
			r.Body = append(bytes.Clone(r.Body), bytes.Repeat([]byte(" "), 128<<10)...)
		}},
		{"legaltalent_kyc", now, http.StatusMethodNotAllowed, "a scanner came by", func(r *verifiers.Request) { r.Method = http.MethodGet }},
	}
	for _, f := range forgeries {
		sys := s.systems[f.source]
		r, err := sys.compose(sys.types[0], f.at)
		if err != nil {
			return err
		}
		forged := r.Request
		if f.change != nil {
			forged = edited(r, f.change)
		}
		if err := s.forge(ctx, f.source, forged, f.status, f.note); err != nil {
			return err
		}
		if err := s.pause(ctx); err != nil {
			return err
		}
	}
	if err := s.wrongSecret(ctx); err != nil {
		return err
	}
	n := len(forgeries) + 1
	return s.facts.await(ctx, "every forgery is refused", func() bool { return len(s.facts.refusals) >= n })
}

// wrongSecret signs with the secret of another system.
func (s *stage) wrongSecret(ctx context.Context) error {
	sys := *s.systems["legaltalent_kyc"]
	sys.secret = s.systems["heyvisa"].secret
	r, err := sys.compose(sys.types[0], s.o.Now())
	if err != nil {
		return err
	}
	return s.forge(ctx, sys.source, r.Request, http.StatusUnauthorized, "signed with somebody else's secret")
}

// outage has the application fail with 503, then refuse connections, then come back, while events go on coming in.
func (s *stage) outage(ctx context.Context) error {
	s.onboarding.overload(true)
	s.out.line(cyan, "story", "onboarding", "", "answers 503 from now on")
	var visas []*request
	round := func(note string) error {
		for n, source := range sourceNames {
			r, err := s.event(ctx, source, n, steady, note)
			if err != nil {
				return err
			}
			if source == "heyvisa" {
				visas = append(visas, r)
			}
		}
		return nil
	}
	if err := round("while the application is overloaded"); err != nil {
		return err
	}
	if err := s.facts.await(ctx, "the breaker opens", func() bool { return s.facts.breaker["onboarding"] == "open" }); err != nil {
		return err
	}
	if err := s.onboarding.crash(); err != nil {
		return err
	}
	s.out.line(cyan, "story", "onboarding", "", "has crashed: its port is closed")
	if err := round("while the application is down"); err != nil {
		return err
	}
	err := s.facts.await(ctx, "a delivery finds the application down", func() bool { return s.facts.failed("onboarding", "dial") > 0 })
	if err != nil {
		return err
	}
	err = s.facts.await(ctx, "the other application has HeyVisa's events", func() bool {
		for _, r := range visas {
			if s.facts.state("heyvisa", r.eventID, "visa_desk") != "delivered" {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	s.out.line(cyan, "story", "visa_desk", "", "has all its events meanwhile: one application in trouble does not slow another")
	if err := s.onboarding.restart(ctx); err != nil {
		return err
	}
	s.out.line(cyan, "story", "onboarding", "", "is back")
	return s.settle(ctx)
}

// reload loads another configuration, and the first one again, in the middle of a stream of events.
func (s *stage) reload(ctx context.Context) error {
	const events = 30
	before := s.tally.accepted()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var stream sync.WaitGroup
	stream.Go(func() {
		for n := range events {
			if _, err := s.event(ctx, sourceNames[n%len(sourceNames)], n, steady, ""); err != nil {
				fail(err)
				return
			}
		}
	})
	defer stream.Wait()
	for i, concurrency := range []int{8, 4} {
		want := before + (i+1)*events/3
		err := s.facts.await(ctx, "some events came in", func() bool { return len(s.facts.events) >= want })
		if err != nil {
			return err
		}
		if err := s.gateway.reload(concurrency); err != nil {
			return err
		}
		s.out.line(cyan, "story", "gateway", "", fmt.Sprintf("has reloaded its configuration: onboarding now takes %d at once", concurrency))
	}
	stream.Wait()
	return s.settle(ctx)
}

// hopeless has events that end up dead: one that the application refuses for good, and one over which it fails each time until it is mended.
func (s *stage) hopeless(ctx context.Context) error {
	if _, err := s.event(ctx, "vericato", 0, rejects, "the application will answer it with 422"); err != nil {
		return err
	}
	bug, err := s.event(ctx, "scan_documents", 0, broken, "the application will fail over it each time")
	if err != nil {
		return err
	}
	if _, err := s.event(ctx, "heyvisa", 0, steady, "not held up by them"); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.onboarding.plan(bug.eventID, steady)
	s.out.line(cyan, "story", "onboarding", "", "is mended; the operator replays what is dead of scan_documents")
	if err := s.gateway.replay(ctx, "scan_documents", "onboarding"); err != nil {
		return err
	}
	return s.facts.await(ctx, "the replayed event is delivered", func() bool {
		return s.facts.state("scan_documents", bug.eventID, "onboarding") == "delivered"
	})
}
