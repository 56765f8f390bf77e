package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
)

func init() { verbs = append(verbs, sendCommand) }

// defaultSendTo is the site of Caddyfile.example.
const defaultSendTo = "http://localhost:8080"

// sendTimeout is longer than any provider waits for its answer.
const sendTimeout = 60 * time.Second

// maxSendFile bounds what is read from a file or from standard input.
const maxSendFile = 64 << 20

// sendFlags are the flags of `send`.
type sendFlags struct {
	providerFlags
	secret, secretEnv, secretFile  string
	to, publicURL, eventType, data string
	id, contentType, print         string
	headers                        []string
	count                          int
	age                            time.Duration
	tamper, dryRun, json           bool
	all                            bool
	toBase, secretDir              string
}

func sendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send <provider> [--secret <secret>] [--to <url>]  |  send --all",
		Short: "Sends a signed event as a provider would",
		Long: `Signs a realistic event exactly as the provider would, posts it, and shows the answer. The exit code is 0 if every event was
answered with a 2xx.

The secret is given as in a configuration: --secret '{env.STRIPE_SECRET}' or '{file./run/secrets/stripe}'; or with
--secret-env NAME, or --secret-file FILE (- is standard input). As a plain --secret it can be seen by others in the list of
processes. Providers that sign with a private key take that key; those that sign nothing take none: put the token into --to.

A provider that is neither in the catalogue nor a scheme is asked for at the running Caddy. A scheme takes its parameters with
--set, one for each line that a webhook block would have:

  caddy webhooks send hmac --secret-env ACME --set 'header X-Acme-Signature' --set 'event_id json:id' --data event.json

With --all, the whole catalogue is sent: to a gateway that this command starts for it, with every provider as a source and a new
secret for each, where an event signed with another secret must be refused as well; or to --to-base, with the secrets in --secret-dir.`,
		Example: `  caddy webhooks send stripe --secret-env STRIPE_SECRET --to https://hooks.example.com/stripe
  caddy webhooks send github --secret-file github.secret --type push --data push.json
  caddy webhooks send heyvisa --secret x --print curl
  caddy webhooks send --all`,
		Args: cobra.MaximumNArgs(1),
	}
	f := new(sendFlags)
	f.register(cmd)
	connectFlags(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		if f.all {
			if len(args) > 0 {
				return usagef("--all sends every provider: want no name")
			}
			return sendAll(cmd, f)
		}
		if len(args) == 0 {
			return usagef("want the id of a provider, or --all; `caddy webhooks providers` lists them")
		}
		return f.send(cmd, args[0])
	})
	return cmd
}

func (f *sendFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.secret, "secret", "", "The secret, or a placeholder such as {env.NAME}")
	flags.StringVar(&f.secretEnv, "secret-env", "", "Name of the environment variable that has the secret")
	flags.StringVar(&f.secretFile, "secret-file", "", "File that has the secret; - is standard input")
	flags.StringVar(&f.to, "to", "", "Address to send to (default "+defaultSendTo+"/<provider>)")
	flags.StringVar(&f.publicURL, "public-url", "", "Address as the provider knows it, if that is not the one to send to; matters where the address is signed")
	flags.StringVar(&f.eventType, "type", "", "Type of the event (default the provider's most usual one)")
	flags.StringVar(&f.data, "data", "", "File with the body to send in place of the example; - is standard input")
	flags.StringVar(&f.contentType, "content-type", "", "Content type of the body")
	flags.StringVar(&f.id, "id", "", "Id of the event (default a new one each time)")
	f.providerFlags.register(cmd)
	flags.StringArrayVar(&f.headers, "header", nil, "Header 'Name: value', set before signing; may be repeated")
	flags.IntVarP(&f.count, "count", "n", 1, "How many events to send")
	flags.DurationVar(&f.age, "age", 0, "Sign as if this long ago; negative: in the future")
	flags.BoolVar(&f.tamper, "tamper", false, "Change the body after signing, to see it refused")
	flags.BoolVar(&f.dryRun, "dry-run", false, "Show the request and send nothing; the same as --print http")
	flags.StringVar(&f.print, "print", "", "Show the request as curl line or http text, and send nothing")
	flags.BoolVar(&f.json, "json", false, "Print JSON, one object for each event")
	flags.BoolVar(&f.all, "all", false, "Send an event of every provider of the catalogue and print a table")
	flags.StringVar(&f.toBase, "to-base", "", "With --all: send to <url>/<provider> in place of a gateway of its own")
	flags.StringVar(&f.secretDir, "secret-dir", "", "With --to-base: directory with a file <provider> for each secret")
}

// send sends the events of one provider.
func (f *sendFlags) send(cmd *cobra.Command, id string) error {
	message, err := f.message(cmd, id)
	if err != nil {
		return err
	}
	if f.dryRun || f.print != "" {
		return f.show(cmd.OutOrStdout(), message)
	}
	out := newScreen(cmd.OutOrStdout())
	client := sender.NewClient(sendTimeout, now)
	defer client.HTTP.CloseIdleConnections()
	refused := 0
	for range f.count {
		r, err := f.build(message)
		if err != nil {
			return err
		}
		answer, err := client.Send(cmd.Context(), r, message.To)
		if err != nil {
			return err
		}
		if !answer.Accepted() {
			refused++
		}
		if err := f.answer(out, message, r, answer); err != nil {
			return err
		}
	}
	if f.count > 1 && !f.json {
		out.printf("%d sent, %d accepted, %d refused\n", f.count, f.count-refused, refused)
	}
	if refused > 0 {
		return errSilent
	}
	return nil
}

// build makes the next request.
func (f *sendFlags) build(m *sender.Message) (*verifiers.Request, error) {
	m.At = now().Add(-f.age)
	r, err := m.Build()
	if err == nil && f.tamper {
		r.Body = append(r.Body, ' ')
	}
	return r, err
}

// message puts the flags together.
func (f *sendFlags) message(cmd *cobra.Command, id string) (_ *sender.Message, err error) {
	if f.count < 1 {
		return nil, usagef("--count %d: want 1 or more", f.count)
	}
	if f.count > 1 && f.id != "" {
		return nil, usagef("--id with --count: events with one id are duplicates; send them one by one")
	}
	if f.print != "" && f.print != "curl" && f.print != "http" {
		return nil, usagef("--print %s: want curl or http", f.print)
	}
	m := &sender.Message{Type: f.eventType, ID: f.id, Header: make(http.Header)}
	if m.Provider, err = f.provider(cmd, id); err != nil {
		return nil, err
	}
	if m.Secret, err = f.readSecret(cmd, m.Provider); err != nil {
		return nil, err
	}
	if m.Body, err = f.body(cmd); err != nil {
		return nil, err
	}
	if f.contentType != "" {
		m.Header.Set("Content-Type", f.contentType)
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" {
			return nil, usagef("--header %q: want 'Name: value'", h)
		}
		m.Header.Add(name, strings.TrimSpace(value))
	}
	if f.to == "" {
		f.to = defaultSendTo + "/" + id
	}
	if m.To, err = webAddress("--to", f.to); err != nil {
		return nil, err
	}
	if f.publicURL != "" {
		if m.SignedURL, err = webAddress("--public-url", f.publicURL); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func webAddress(flag, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("%s: want an address such as https://hooks.example.com/stripe", flag)
	}
	return u, nil
}

// body reads --data; nil without it.
func (f *sendFlags) body(cmd *cobra.Command) ([]byte, error) {
	if f.data == "" {
		return nil, nil
	}
	if f.data == "-" && f.secretFile == "-" {
		return nil, usagef("--data - and --secret-file -: only one of them can be standard input")
	}
	body, err := readInput(cmd, f.data)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if body == nil {
		body = []byte{}
	}
	return body, nil
}

// readInput reads a file, or standard input if its name is -.
func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxSendFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxSendFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxSendFile)
	}
	return raw, nil
}
