package demo

import (
	"context"
	"fmt"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
)

// serve keeps the stage up until the context ends, and says what the reader can do with it.
func (s *stage) serve(ctx context.Context) error {
	lines, err := s.invitations()
	if err != nil {
		return err
	}
	s.out.heading("It goes on: try it from another terminal")
	for _, line := range lines {
		s.out.text("%s\n  %s\n", s.out.paint(dim, "# "+line.what), line.command)
	}
	s.out.text("Ctrl-C ends the demo and removes everything.\n")
	<-ctx.Done()
	s.out.heading("The end")
	return nil
}

// invitation is a command for the reader to try.
type invitation struct{ what, command string }

func (s *stage) invitations() ([]invitation, error) {
	scan := s.systems["scan_documents"]
	signed, err := scan.compose("", s.o.Now())
	if err != nil {
		return nil, err
	}
	curl, err := sender.Curl(signed.Request, nil)
	if err != nil {
		return nil, err
	}
	unsigned, err := s.systems["vericato"].compose("", s.o.Now())
	if err != nil {
		return nil, err
	}
	token, err := sender.Curl(unsigned.Request, nil)
	if err != nil {
		return nil, err
	}
	c := s.o.Command
	return []invitation{
		{"send a new event, signed as HeyVisa would", fmt.Sprintf("%s webhooks send heyvisa --secret-file %s --to %s", c, s.secrets.file("heyvisa"), s.systems["heyvisa"].to)},
		{"the same, but signed with a wrong secret", fmt.Sprintf("%s webhooks send heyvisa --secret wrong --to %s", c, s.systems["heyvisa"].to)},
		{"an event with curl (its signature is good for five minutes; twice is a duplicate)", curl},
		{"an event of a system that signs nothing (the token in the address vouches for it)", token},
		{"what became of them", fmt.Sprintf("%s webhooks status --address %s", c, s.gateway.Admin)},
		{"the latest events", fmt.Sprintf("%s webhooks events --address %s", c, s.gateway.Admin)},
		{"the same from the admin API", fmt.Sprintf("curl -s http://%s/webhooks/events", s.gateway.Admin)},
		{"the metrics", fmt.Sprintf("curl -s http://%s/metrics | grep caddy_webhooks", s.gateway.Admin)},
		{"make the application fail, send some events, and bring it back", fmt.Sprintf(
			"curl -X POST http://%s/application/down\n  curl -X POST http://%s/application/up", s.results.address, s.results.address)},
	}, nil
}
