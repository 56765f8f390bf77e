package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

func init() { verbs = append(verbs, showCommand) }

func showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show <id> [--payload | --raw | --normalised]", Short: "Shows one event with its deliveries and attempts", Args: cobra.ExactArgs(1),
		Long: `Shows one event: what arrived, where it went, and each attempt. The id is the gateway's (wh_...) or the provider's; if several events have the
provider's id, the newest is shown.

Payloads are shown as their source allows: not at all with redact, and with what it masks replaced.`,
		Example: `  caddy webhooks show wh_hoe2wyl9j4 --payload
  caddy webhooks show evt_1NG8Du2eZvKYlo2C --raw > body.json`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	source := cmd.Flags().String("source", "", "Of this source, where sources share ids")
	payload := cmd.Flags().Bool("payload", false, "Show the payload too")
	raw := cmd.Flags().Bool("raw", false, "Print the payload's bytes and nothing else")
	normalised := cmd.Flags().Bool("normalised", false, "Print the event as CloudEvents JSON and nothing else")
	cmd.MarkFlagsMutuallyExclusive("payload", "raw", "normalised")
	cmd.RunE = runVerb(func(cmd *cobra.Command, args []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		path, query := "events/"+segment(args[0]), url.Values{}
		if *source != "" {
			query.Set("source", *source)
		}
		switch {
		case *raw:
			return copyPayload(cmd, client, path, query)
		case *normalised:
			query.Set("format", payloadNormalised)
			return copyPayload(cmd, client, path, query)
		}
		return showEvent(cmd, client, path, query, *payload)
	})
	return cmd
}

// maxIndented bounds what a payload may become when it is indented; beyond that it is shown as it is.
const maxIndented = 32 << 20

func showEvent(cmd *cobra.Command, client *adminClient, path string, query url.Values, withPayload bool) error {
	var detail eventDetail
	document, err := client.get(cmd.Context(), path, query, &detail)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	if err := showOr(cmd, s, document, func() { printEvent(s, &detail) }); err != nil || !withPayload {
		return err
	}
	var body bytes.Buffer
	if err := fetchPayload(cmd, client, path, query, &body); err != nil {
		return err
	}
	s.printf("\n%s\n", s.paint(bold, "Payload"))
	text := body.Bytes()
	if indented, ok := verifiers.IndentJSON(text, "  ", maxIndented); ok && s.width > 0 {
		text = indented
	}
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n") {
		s.printf("%s\n", printable(strings.ReplaceAll(line, "\t", "    ")))
	}
	return nil
}

// copyPayload writes the payload's bytes as they are: into a file or a pipe. A terminal gets them only if they are text.
func copyPayload(cmd *cobra.Command, client *adminClient, path string, query url.Values) error {
	out := cmd.OutOrStdout()
	if s := newScreen(out); s.width > 0 {
		var body bytes.Buffer
		if err := fetchPayload(cmd, client, path, query, &body); err != nil {
			return err
		}
		if strings.ContainsFunc(body.String(), func(r rune) bool { return r != '\n' && r != '\t' && r != '\r' && printable(string(r)) != string(r) }) {
			return fmt.Errorf("payload is not text: redirect it into a file")
		}
		_, err := body.WriteTo(out)
		return err
	}
	return fetchPayload(cmd, client, path, query, out)
}

func fetchPayload(cmd *cobra.Command, client *adminClient, path string, query url.Values, w io.Writer) error {
	resp, err := client.open(cmd.Context(), "GET", path+"/payload", query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Webhook-Payload-Masked") == "true" {
		fmt.Fprintln(cmd.ErrOrStderr(), "Parts of the payload are masked by the source's configuration.")
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

func printEvent(s *screen, e *eventDetail) {
	field := func(name, value string) { printField(s, name, value) }
	s.printf("%s\n", s.paint(bold, e.ID.String()))
	field("event id", e.EventID)
	field("source", e.Source+" ("+e.Provider+")")
	field("type", e.Type)
	field("subject", e.Subject)
	field("received", clockTime(e.ReceivedAt)+" ("+since(e.ReceivedAt)+" ago)")
	if !e.Time.IsZero() {
		field("happened", clockTime(e.Time))
	}
	field("request", e.Method+" "+e.URL)
	field("client", e.ClientIP)
	if e.SecretIndex != nil {
		field("verified", fmt.Sprintf("with secret %d of its source", *e.SecretIndex+1))
	}
	field("size", humanize.IBytes(uint64(max(0, e.Size))))
	field("replay of", e.ReplayOf)
	field("filtered", strings.Join(e.Filtered, " "))
	for _, id := range e.SameProviderIDs {
		field("see also", id.String()+" (same id of the provider)")
	}
	printHeaders(s, e.Header)
	for i := range e.Deliveries {
		printDelivery(s, &e.Deliveries[i])
	}
}

// printField prints a name and its value, unless that is empty.
func printField(s *screen, name, value string) {
	if value != "" {
		s.printf("%s %s\n", s.paint(dim, fmt.Sprintf("%-10s", name)), printable(value))
	}
}

func printHeaders(s *screen, header map[string][]string) {
	s.printf("\n%s\n", s.paint(bold, "Headers"))
	for _, name := range sortedKeys(header) {
		for _, value := range header[name] {
			s.printf("%s %s\n", s.paint(dim, printable(name)+":"), printable(value))
		}
	}
}

func printDelivery(s *screen, d *deliveryView) {
	s.printf("\n%s %s", s.paint(bold, "Delivery to "+printable(d.Destination)), s.paint(stateColors[d.State], d.State.String()))
	if !d.Due.IsZero() {
		s.printf(", due %s", clockTime(d.Due))
	}
	if !d.SettledAt.IsZero() {
		s.printf(" %s", clockTime(d.SettledAt))
	}
	if d.Replayed {
		s.printf(", replayed")
	}
	if d.OrderKey != "" {
		s.printf(", in order of %s", printable(d.OrderKey))
	}
	s.printf("\n")
	if len(d.History) == 0 {
		return
	}
	t := table{headings: []string{"#", "AT", "WHY", "TOOK", "STATUS", "OUTCOME"}}
	for i := range d.History {
		a := &d.History[i]
		outcome := colored(green, "delivered")
		if a.Class != "" {
			outcome = colored(red, strings.TrimSpace(a.Class+" "+a.Error))
		}
		status := text("-")
		if a.Status != 0 {
			status = number(a.Status)
		}
		t.add(number(a.Number), text(clockTime(a.At)), text(a.Trigger), text(age(millis(a.DurationMS))), status, outcome)
	}
	t.print(s)
	last := d.History[len(d.History)-1]
	if last.Response != "" && slices.Contains([]queue.State{queue.StateDead, queue.StatePending, queue.StateHeld}, d.State) {
		s.printf("%s %s\n", s.paint(dim, "last answer:"), printable(strings.Join(strings.Fields(last.Response), " ")))
	}
}
