package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// resendEvent delivers one event with another payload.
func resendEvent(cmd *cobra.Command, client *adminClient, ids []string, flags *replayFlags) error {
	if len(ids) != 1 {
		return usagef("--edit and --body are for one event: want its id")
	}
	if flags.move || flags.rate != 0 || flags.detach {
		return usagef("--move, --rate and --detach have no meaning with --edit and --body")
	}
	query, err := resendQuery(cmd, flags)
	if err != nil {
		return err
	}
	path := "events/" + segment(ids[0])
	var payload []byte
	if flags.edit {
		payload, err = editedPayload(cmd, client, path, query.Get("source"))
	} else {
		payload, err = readBody(cmd, flags.body)
	}
	if err != nil {
		return err
	}
	resp, err := client.send(cmd.Context(), path+"/resend", query, "application/octet-stream", bytes.NewReader(payload))
	if err != nil {
		return err
	}
	var view resendView
	raw, err := client.answer(resp, &view)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		to := strings.Join(view.Destinations, " ")
		if view.DryRun {
			s.printf("Would deliver %s with %d bytes of payload to %s\n", view.ReplayOf, view.Size, printable(to))
			return
		}
		s.printf("%s with %d bytes of payload is event %s, on its way to %s\n", view.ReplayOf, view.Size, view.ID, printable(to))
	})
}

// resendQuery says where the event goes. Of the filters, only those that tell where it comes from and goes to have a meaning.
func resendQuery(cmd *cobra.Command, flags *replayFlags) (url.Values, error) {
	filter, err := filterQuery(cmd)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name := range filter {
		if name != "source" && name != "destination" {
			return nil, usagef("--%s has no meaning with --edit and --body", name)
		}
		query.Set(name, filter.Get(name))
	}
	if flags.to != "" {
		query.Set("to", flags.to)
	}
	if flags.dry {
		query.Set("dry_run", "true")
	}
	return query, nil
}

// readBody reads a file, or standard input.
func readBody(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	payload, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError(err)
	}
	return payload, nil
}

// editedPayload fetches the payload of an event and has it edited.
func editedPayload(cmd *cobra.Command, client *adminClient, path, source string) ([]byte, error) {
	query := url.Values{}
	if source != "" {
		query.Set("source", source)
	}
	resp, err := client.open(cmd.Context(), http.MethodGet, path+"/payload", query, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Webhook-Payload-Masked") == "true" {
		return nil, errors.New("parts of the payload are masked by the source's configuration, and the masks would be sent: use --body with a whole payload")
	}
	before, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the payload: %w", err)
	}
	after, err := edit(cmd, before)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(before, after) {
		return nil, errors.New("payload was not changed; to deliver it as it is, leave --edit out")
	}
	return after, nil
}

// edit has a text edited in the operator's editor. The file is readable for its owner alone, and gone afterwards.
func edit(cmd *cobra.Command, text []byte) (edited []byte, err error) {
	editor := "vi"
	for _, name := range []string{"EDITOR", "VISUAL"} {
		if value := os.Getenv(name); value != "" {
			editor = value
		}
	}
	dir, err := os.MkdirTemp("", "webhooks-edit-*")
	if err != nil {
		return nil, fmt.Errorf("editing: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "payload.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("editing: %w", err)
	}
	words := strings.Fields(editor)
	run := exec.CommandContext(cmd.Context(), words[0], append(words[1:], file)...) //nolint:gosec // it is the operator's own editor
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, cmd.ErrOrStderr(), cmd.ErrOrStderr()
	if err := run.Run(); err != nil {
		return nil, fmt.Errorf("editor %s: %w", words[0], err)
	}
	return os.ReadFile(file)
}
