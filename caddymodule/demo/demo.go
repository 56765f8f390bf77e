// Package demo tells the story of the gateway on one machine, with nothing configured: a real gateway with five systems as its sources, an application that is slow,
// flaky and for a while not there, and a sender that signs as each system would. It counts on all sides and says whether the sums agree.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
)

// Options of [Run].
type Options struct {
	// Out is where the story is told.
	Out io.Writer
	// Color makes it colourful.
	Color bool
	// Serve keeps everything running after the story, until the context ends, and says what can be done with it.
	Serve bool
	// Command is how the user calls this program, for the lines that Serve prints. Default: caddy.
	Command string
	// Pace is the time between two events of a quiet stretch. It serves the reader only; zero sends as fast as the gateway answers.
	Pace time.Duration
	// Report takes the sums at the end of the story. Default: they are told only.
	Report func([]Check)
	// Now is the clock.
	Now func() time.Time
}

// ErrUnsound means that the story went through and its sums do not agree: the output says which.
var ErrUnsound = errors.New("the sums of the demo do not agree")

// storyLimit is when a story that gets nowhere is given up. It normally takes a fifth of that.
const storyLimit = 2 * time.Minute

// stage is everything that runs during the story.
type stage struct {
	o          Options
	dir        string
	secrets    *secrets
	onboarding *application // takes the events of all systems; the one that gets into trouble
	visaDesk   *application // takes HeyVisa's events as HeyVisa would have sent them
	results    *resultAPI
	out        *narrator
	facts      *facts
	tap        *tap
	gateway    *gateway
	client     *sender.Client
	tally      *tally
	systems    map[string]*system
}

// Run tells the story. It returns nil only if it went through and all sums agree.
func Run(ctx context.Context, o Options) (err error) {
	if o.Command == "" {
		o.Command = "caddy"
	}
	s, err := build(ctx, o)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return err
	}
	s.introduce()
	limited, cancel := context.WithTimeout(ctx, storyLimit)
	defer cancel()
	before, err := s.gateway.counters(limited)
	if err != nil {
		return err
	}
	if err := s.tell(limited); err != nil {
		return err
	}
	after, err := s.gateway.counters(limited)
	if err != nil {
		return err
	}
	sound := s.report(after.since(before))
	if o.Serve {
		if err := s.serve(ctx); err != nil {
			return err
		}
	}
	if !sound {
		return ErrUnsound
	}
	return nil
}

// build starts everything. What it started is in the stage even if it fails, for close.
func build(ctx context.Context, o Options) (s *stage, err error) {
	s = &stage{o: o, client: sender.NewClient(10*time.Second, o.Now), tally: newTally()}
	// a connection for each request, as from providers all over the world: a reload may close an idle one just when a request goes out on it
	s.client.HTTP.Transport.(*http.Transport).DisableKeepAlives = true
	s.out = newNarrator(o.Out, o.Color, o.Now)
	s.facts = newFacts()
	if s.dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		return s, fmt.Errorf("making a temporary directory: %w", err)
	}
	if s.secrets, err = newSecrets(filepath.Join(s.dir, "secrets")); err != nil {
		return s, err
	}
	if s.results, err = startResultAPI(ctx, s.secrets.apiKey); err != nil {
		return s, err
	}
	if s.onboarding, err = startApplication(ctx, "onboarding", o.Now, readStandard(s.secrets.onboarding)); err != nil {
		return s, err
	}
	if s.visaDesk, err = startApplication(ctx, "visa_desk", o.Now, readHeyVisa(s.secrets.visaDesk)); err != nil {
		return s, err
	}
	s.results.control(s.onboarding)
	if s.tap, err = startTap(ctx, s.hear); err != nil {
		return s, err
	}
	if s.gateway, err = startGateway(ctx, s); err != nil {
		return s, err
	}
	s.systems, err = newSystems(s.secrets, s.gateway.Address)
	return s, err
}

// hear takes a line of the gateway's log.
func (s *stage) hear(e *entry) {
	if note, news := s.facts.apply(e); news {
		s.out.narrate(e, note)
	}
}

// close stops everything and removes the directory.
func (s *stage) close() error {
	var errs []error
	if s.gateway != nil {
		errs = append(errs, s.gateway.Stop())
	}
	for _, app := range []*application{s.onboarding, s.visaDesk} {
		if app != nil {
			errs = append(errs, app.stop())
		}
	}
	if s.results != nil {
		errs = append(errs, s.results.stop())
	}
	s.client.HTTP.CloseIdleConnections()
	if s.tap != nil { // last, so that the gateway never writes its log to nobody
		errs = append(errs, s.tap.stop())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

func (s *stage) introduce() {
	s.out.heading("The gateway is up")
	s.out.text("gateway       http://%s, its store and its secrets in %s", s.gateway.Address, s.dir)
	s.out.text("sources       heyvisa and scan_documents (signed, with a tolerance), legaltalent_kyc (signed, the time is the event's),")
	s.out.text("              verifeye and vericato (unsigned, so with a token in the address)")
	s.out.text("destinations  onboarding: everything as CloudEvents, signed by Standard Webhooks; the result of a VerifEye session is fetched first")
	s.out.text("              visa_desk: HeyVisa's events as they came, signed anew in HeyVisa's own scheme")
}
