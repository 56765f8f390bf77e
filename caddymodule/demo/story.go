package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tidwall/sjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// tell sends everything that the story has, chapter by chapter, and waits until each has come to its end.
func (s *stage) tell(ctx context.Context) error {
	for _, chapter := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Five systems send events; the application is slow and now and then fails", s.everyday},
		{"The same events come again", s.repeats},
		{"What is not genuine does not get in", s.forgeries},
		{"The application goes down", s.outage},
		{"The configuration is reloaded, twice, while events come in", s.reload},
		{"The application does not manage some events; one is replayed when it is mended", s.hopeless},
	} {
		s.out.heading(chapter.title)
		if err := chapter.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
	}
	return nil
}

// pause is for the reader, who wants to see one thing after the other.
func (s *stage) pause(ctx context.Context) error {
	if s.o.Pace <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(s.o.Pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle waits until nothing goes on.
func (s *stage) settle(ctx context.Context) error {
	n := s.tally.accepted()
	return s.facts.await(ctx, "every delivery is settled", func() bool { return s.facts.settled(n) })
}

// event sends a new event of a source; the application takes it as planned.
func (s *stage) event(ctx context.Context, source string, n int, b behaviour, note string) (*request, error) {
	sys := s.systems[source]
	r, err := sys.compose(sys.types[n%len(sys.types)], s.o.Now())
	if err != nil {
		return nil, err
	}
	s.onboarding.plan(r.eventID, b)
	if source == "verifeye" && b == stumbles {
		s.onboarding.plan(r.eventID, steady)
		s.results.delay(identified(sys, r))
	}
	if err := s.send(ctx, r, note); err != nil {
		return nil, err
	}
	return r, s.pause(ctx)
}

// identified is what the event is about: for VerifEye, the session.
func identified(sys *system, r *request) string {
	identities, err := sys.provider.Identify(r.Request, false)
	if err != nil { // it was read before
		return ""
	}
	return identities[0].Subject
}

func (s *stage) everyday(ctx context.Context) error {
	troubles := map[string]map[int]behaviour{
		"heyvisa":         {1: stumbles},
		"legaltalent_kyc": {2: hangsUp},
		"scan_documents":  {0: hangs, 3: stumbles},
		"verifeye":        {1: stumbles},
		"vericato":        {3: stumbles},
	}
	for round := range 5 {
		for _, source := range sourceNames {
			if _, err := s.event(ctx, source, round, troubles[source][round], ""); err != nil {
				return err
			}
		}
	}
	return s.settle(ctx)
}

func (s *stage) repeats(ctx context.Context) error {
	if err := s.lateRetry(ctx); err != nil {
		return err
	}
	for _, repeat := range []struct{ source, note string }{
		{"heyvisa", "signed anew for its retry"},
		{"verifeye", "its one and only retry"},
		{"vericato", "the same verification and the same event"},
	} {
		first, err := s.event(ctx, repeat.source, 0, steady, "")
		if err != nil {
			return err
		}
		second, err := first.again(s.o.Now())
		if err != nil {
			return err
		}
		if err := s.send(ctx, second, repeat.note); err != nil {
			return err
		}
		if repeat.source == "vericato" {
			if err := s.sameVerification(ctx, first); err != nil {
				return err
			}
		}
	}
	if err := s.atOnce(ctx); err != nil {
		return err
	}
	return s.settle(ctx)
}

// lateRetry is LegalTalent's: its timestamp is the event's, so a retry after hours has an old one and must get in all the same.
func (s *stage) lateRetry(ctx context.Context) error {
	sys := s.systems["legaltalent_kyc"]
	r, err := sys.compose(sys.types[0], s.o.Now().Add(-9*time.Hour))
	if err != nil {
		return err
	}
	if err := s.send(ctx, r, "nine hours old, because its provider could not reach us before"); err != nil {
		return err
	}
	again, err := r.again(s.o.Now())
	if err != nil {
		return err
	}
	return s.send(ctx, again, "the provider missed our answer and sent it again")
}

// sameVerification sends another event of the same verification of Vericato, which is no duplicate.
func (s *stage) sameVerification(ctx context.Context, first *request) error {
	sys := s.systems["vericato"]
	const other = "verification.reviewed"
	var failed error
	r := edited(first, func(r *verifiers.Request) {
		r.Header.Set("X-Vericato-Event", other)
		r.Body, failed = sjson.SetBytes(bytes.Clone(r.Body), "event", other)
	})
	if failed != nil {
		return fmt.Errorf("editing an event: %w", failed)
	}
	second, err := sys.identify(r)
	if err != nil {
		return err
	}
	return s.send(ctx, second, "the same verification, but another event: not a duplicate")
}

// atOnce sends one event five times at the same moment.
func (s *stage) atOnce(ctx context.Context) error {
	sys := s.systems["scan_documents"]
	r, err := sys.compose(sys.types[0], s.o.Now())
	if err != nil {
		return err
	}
	const copies = 5
	errs := make(chan error, copies)
	var sending sync.WaitGroup
	for range copies {
		sending.Go(func() { errs <- s.send(ctx, r, "one of five that came at the same moment") })
	}
	sending.Wait()
	for range copies {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

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
