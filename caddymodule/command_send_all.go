package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/caddymodule/sandbox"
	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// catalogueRun sends an event of every provider of the catalogue.
type catalogueRun struct {
	client  *sender.Client
	base    *url.URL // requests go to <base>/<provider>
	secrets string   // directory with a file for each provider's secret
	forge   bool     // also sends each event signed with another secret, which must be refused
}

// sendAll sends the whole catalogue and prints a table. It fails if anything that could be sent was not accepted.
func sendAll(cmd *cobra.Command, f *sendFlags) (err error) {
	out := newScreen(cmd.OutOrStdout())
	run := &catalogueRun{client: sender.NewClient(sendTimeout, now)}
	defer run.client.HTTP.CloseIdleConnections()
	switch {
	case f.toBase == "" && f.secretDir == "":
		stop, startErr := run.startGateway(cmd.Context())
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, stop()) }()
		run.forge = true
	case f.toBase == "" || f.secretDir == "":
		return usagef("want both --to-base and --secret-dir, or neither")
	default:
		run.secrets = f.secretDir
		if run.base, err = webAddress("--to-base", f.toBase); err != nil {
			return err
		}
	}
	results, err := run.send(cmd.Context())
	if err != nil {
		return err
	}
	return printResults(out, results, f.json)
}

// startGateway runs a gateway with every provider as a source, each with a new secret.
func (run *catalogueRun) startGateway(ctx context.Context) (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "sluice-catalogue-")
	if err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	run.secrets = filepath.Join(dir, "secrets")
	box, err := run.startSandbox(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	run.base = &url.URL{Scheme: "http", Host: box.Address, Path: "/"}
	return func() error { return errors.Join(box.Stop(), os.RemoveAll(dir)) }, nil
}

func (run *catalogueRun) startSandbox(ctx context.Context, dir string) (*sandbox.Sandbox, error) {
	specs, err := catalogue.All()
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	if err := os.Mkdir(run.secrets, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of secrets: %w", err)
	}
	var sources strings.Builder
	for _, spec := range specs {
		if err := run.writeSource(&sources, spec); err != nil {
			return nil, fmt.Errorf("provider %s: %w", spec.ID, err)
		}
	}
	return sandbox.Start(ctx, func(address, admin string) (string, error) {
		return fmt.Sprintf(`{
	admin %s
	%s
	log {
		output discard
	}
	webhooks {
		store badger %s {
			min_free 16MiB
		}
	}
}
http://%s {
	%s
}
`, admin, sandbox.GlobalOptions, strconv.Quote(filepath.ToSlash(filepath.Join(dir, "store"))), address, sources.String()), nil
	})
}

// writeSource writes the site's part for a provider, and its secret. A provider that does not compile is left out, so that the others can be tried; the table
// says what is wrong with it.
func (run *catalogueRun) writeSource(site *strings.Builder, spec *verifiers.Spec) error {
	if _, err := compileTrial(spec); err != nil {
		return nil //nolint:nilerr // see above
	}
	secret, err := sender.TrialSecret(spec)
	if err != nil {
		return err
	}
	fmt.Fprintf(site, "handle /%s {\n\twebhook %s {\n", spec.ID, spec.ID)
	if secret == "" {
		site.WriteString("\t\tunsigned_ok\n")
	} else {
		path := filepath.Join(run.secrets, spec.ID)
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			return fmt.Errorf("writing its secret: %w", err)
		}
		fmt.Fprintf(site, "\t\tsecret \"{file.%s}\"\n", filepath.ToSlash(path))
	}
	for name, value := range sender.TrialParams(spec) {
		fmt.Fprintf(site, "\t\tparam %s %s\n", name, strconv.Quote(value))
	}
	site.WriteString("\t}\n}\n")
	return nil
}

// send sends one event of each provider.
func (run *catalogueRun) send(ctx context.Context) ([]sendResult, error) {
	specs, err := catalogue.All()
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	var results []sendResult
	for _, spec := range specs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		result, err := run.try(ctx, spec)
		if err != nil {
			result = sendResult{Provider: spec.ID, Scheme: spec.Scheme, Note: err.Error()}
		}
		results = append(results, result)
	}
	return results, nil
}

// The notes of providers of which nothing can be sent; all others are failures.
const (
	noteCannotSign = "only the provider itself can sign"
	noteNoSecret   = "no secret given"
	noteNoExample  = "has no example"
)

// compileTrial compiles a provider with values for its params.
func compileTrial(spec *verifiers.Spec) (*verifiers.Provider, error) {
	if params := sender.TrialParams(spec); len(params) > 0 {
		spec = spec.Merge(&verifiers.Spec{Values: params})
	}
	return verifiers.Compile(spec)
}

func (run *catalogueRun) try(ctx context.Context, spec *verifiers.Spec) (sendResult, error) {
	skipped := sendResult{Provider: spec.ID, Scheme: spec.Scheme}
	p, err := compileTrial(spec)
	if err != nil {
		return sendResult{}, err
	}
	m := sender.Message{Provider: p, To: run.base.JoinPath(spec.ID), At: now()}
	raw, err := os.ReadFile(filepath.Join(run.secrets, spec.ID))
	switch {
	case errors.Is(err, fs.ErrNotExist) && spec.Needs().Unsigned:
	case errors.Is(err, fs.ErrNotExist):
		skipped.Note = noteNoSecret
		return skipped, nil
	case err != nil:
		return sendResult{}, fmt.Errorf("reading its secret: %w", errors.Unwrap(err))
	default:
		m.Secret = verifiers.NewSecret([]byte(strings.TrimRight(string(raw), "\r\n")))
	}
	r, err := m.Build()
	switch {
	case errors.Is(err, sender.ErrNoExample):
		skipped.Note = noteNoExample
		return skipped, nil
	case errors.Is(err, verifiers.ErrCannotSign):
		skipped.Note = noteCannotSign
		return skipped, nil
	case err != nil:
		return sendResult{}, err
	}
	answer, err := run.client.Send(ctx, r, m.To)
	if err != nil {
		return sendResult{}, err
	}
	result := newSendResult(p, r, answer)
	if run.forge && len(m.Secret.Bytes()) > 0 {
		result.Forged, err = run.sendForged(ctx, m)
	}
	return result, err
}

// sendForged sends an event that is signed with a secret that the gateway does not have, and returns the status of the answer.
func (run *catalogueRun) sendForged(ctx context.Context, m sender.Message) (int, error) {
	other, err := sender.TrialSecret(m.Provider.Spec())
	if err != nil {
		return 0, err
	}
	m.Secret, m.At = verifiers.NewSecret([]byte(other)), now()
	r, err := m.Build()
	if err != nil {
		return 0, err
	}
	answer, err := run.client.Send(ctx, r, m.To)
	return answer.Status, err
}

// ok reports whether the event was accepted, and the forged one refused.
func (r *sendResult) ok() bool {
	return r.Accepted && (r.Forged == 0 || r.Forged >= 400 && r.Forged < 500)
}

// skipped reports whether nothing could be sent, which is nobody's fault.
func (r *sendResult) skipped() bool {
	return r.Status == 0 && (r.Note == noteCannotSign || r.Note == noteNoSecret || r.Note == noteNoExample)
}

func forgedText(status int) string {
	if status == 0 {
		return "-"
	}
	return fmt.Sprint(status)
}

// maxResultColumn is where long types and ids are cut in the table; --json has all of them.
const maxResultColumn = 40

func clip(s string) string {
	if r := []rune(s); len(r) > maxResultColumn {
		return string(r[:maxResultColumn-1]) + "…"
	}
	return s
}

// printResults prints the table, or JSON in lines.
func printResults(out *screen, results []sendResult, asJSON bool) error {
	t := table{headings: []string{"PROVIDER", "SCHEME", "ANSWER", "FORGED", "MS", "TYPE", "EVENT ID", "NOTE"}}
	accepted, skipped := 0, 0
	for i := range results {
		r := &results[i]
		if asJSON {
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
		}
		status, color := fmt.Sprint(r.Status), red
		switch {
		case r.ok():
			accepted++
			color = green
		case r.skipped():
			skipped++
			status, color = "-", dim
		case r.Status == 0:
			status = "failed"
		}
		t.add(text(r.Provider), text(r.Scheme), colored(color, status), text(forgedText(r.Forged)), text(fmt.Sprintf("%.1f", r.LatencyMS)),
			text(clip(r.Type)), text(clip(r.EventID)), text(r.Note))
	}
	failed := len(results) - accepted - skipped
	if !asJSON {
		t.print(out)
		out.printf("\n%d providers: %d accepted, %d failed, %d not sent\n", len(results), accepted, failed, skipped)
	}
	if failed > 0 {
		return errSilent
	}
	return nil
}
