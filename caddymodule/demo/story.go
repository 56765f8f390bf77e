package demo

import (
	"bytes"
	"context"
	"fmt"
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
