package caddymodule

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, quarantineCommand) }

func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine [list | show | release | drop]", Short: "Shows requests that were refused, and releases them", Args: cobra.NoArgs,
		Long: `Keeps requests that did not verify, with what the diagnosis found. Without a verb, lists them.

A released request is verified again with the secrets of now, as of the time it arrived, and accepted if that succeeds.`,
		Example: `  caddy webhooks quarantine --source payments --reason mismatch
  caddy webhooks quarantine show rq_0603c5a1b2c3d
  caddy webhooks quarantine release --all --source payments --dry-run`,
	}
	listFlags(cmd)
	list := &cobra.Command{Use: "list", Short: "Lists refused requests, newest first", Args: cobra.NoArgs}
	listFlags(list)
	show := &cobra.Command{Use: "show <id>", Short: "Shows a refused request and why it did not verify", Args: cobra.ExactArgs(1)}
	raw := show.Flags().Bool("raw", false, "Print the payload's bytes and nothing else")
	show.RunE = runVerb(func(cmd *cobra.Command, ids []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		if *raw {
			return copyPayload(cmd, client, refusedPath(ids[0]), url.Values{})
		}
		return showRefused(cmd, client, refusedPath(ids[0]))
	})
	for _, sub := range []*cobra.Command{
		list, show,
		changeRefusedCommand("release", "Verifies refused requests again and accepts them", releaseRefused),
		changeRefusedCommand("drop", "Removes refused requests", discardRefused),
	} {
		connectFlags(sub)
		outputFlags(sub)
		cmd.AddCommand(sub)
	}
	connectFlags(cmd)
	outputFlags(cmd)
	return cmd
}

func refusedPath(id string) string { return "quarantine/" + segment(id) }

// refusedFlags choose among refused requests.
func refusedFlags(cmd *cobra.Command) {
	cmd.Flags().String("source", "", "Of this source")
	cmd.Flags().String("reason", "", "Refused for this reason: "+strings.Join(refusalReasons, ", "))
}

// listFlags make cmd list refused requests.
func listFlags(cmd *cobra.Command) {
	refusedFlags(cmd)
	cmd.Flags().String("cursor", "", "Where to go on: printed at the end of a page")
	limit := cmd.Flags().Int("limit", defaultPageSize, "Requests of a page, at most 1000")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		return listQuarantine(cmd, client, *limit)
	})
}

// changeRefusedCommand makes a command that does something with one request, several or all of a kind.
func changeRefusedCommand(verb, short string, change func(cmd *cobra.Command, client *adminClient, path string, dryRun bool) error) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " <id>... | --all [--source <source>] [--reason <reason>]", Short: short}
	refusedFlags(cmd)
	all := cmd.Flags().Bool("all", false, "All that --source and --reason leave")
	dryRun := cmd.Flags().Bool("dry-run", false, "Say what would be done and do nothing")
	cmd.RunE = runVerb(func(cmd *cobra.Command, ids []string) error {
		if *all == (len(ids) > 0) {
			return usagef("which requests? Give their ids, or --all")
		}
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		if *all {
			if ids, err = refusedIDs(cmd, client); err != nil {
				return err
			}
			if len(ids) == 0 {
				return tellNoRefused(cmd, client)
			}
		}
		var failed error
		for _, id := range ids {
			if err := change(cmd, client, refusedPath(id), *dryRun); err != nil {
				if len(ids) == 1 {
					return err
				}
				if told := tellRefused(cmd, id, err); told != nil {
					return told
				}
				failed = worse(failed, err)
			}
		}
		return failed
	})
	return cmd
}

// worse is a failure that was told, with the exit code of several: not found only if that is what is wrong with all of them.
func worse(failed, err error) error {
	var is, was *commandError
	if errors.As(err, &is) && is.code == exitNotFound && (failed == nil || errors.As(failed, &was)) {
		return &commandError{code: exitNotFound, err: errSilent}
	}
	return errSilent
}

// tellRefused says of one request among several why nothing was done with it: for people, and as a document for programs.
func tellRefused(cmd *cobra.Command, id string, err error) error {
	text := printable(err.Error())
	if !strings.Contains(text, id) {
		text = id + ": " + text
	}
	_, _ = io.WriteString(cmd.ErrOrStderr(), text+"\n") // nobody is left to tell if standard error is closed
	document, err := json.Marshal(map[string]string{"id": id, "error": text})
	if err != nil {
		return err
	}
	return showOr(cmd, newScreen(cmd.OutOrStdout()), document, func() {})
}

// refusedQuery is what the flags of cmd choose.
func refusedQuery(cmd *cobra.Command, limit int, names ...string) (url.Values, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for _, name := range names {
		value, err := cmd.Flags().GetString(name)
		if err != nil {
			return nil, usageError(err)
		}
		if value != "" {
			query.Set(name, value)
		}
	}
	return query, nil
}

// refusedIDs lists all requests that the flags of cmd choose, oldest first, as they arrived.
func refusedIDs(cmd *cobra.Command, client *adminClient) ([]string, error) {
	query, err := refusedQuery(cmd, quarantineCount, "source", "reason")
	if err != nil {
		return nil, err
	}
	var ids []string
	for {
		var page refusedPage
		if _, err := client.get(cmd.Context(), "quarantine", query, &page); err != nil {
			return nil, err
		}
		for i := range page.Requests {
			ids = append(ids, page.Requests[i].ID)
		}
		if page.Next == "" {
			tellNotKept(cmd, &page)
			slices.Reverse(ids)
			return ids, nil
		}
		query.Set("cursor", page.Next)
	}
}

// tellNoRefused says that no request is chosen.
func tellNoRefused(cmd *cobra.Command, client *adminClient) error {
	query, err := refusedQuery(cmd, 1, "source", "reason")
	if err == nil {
		tellNothing(cmd, client, query, "refused requests")
	}
	return err
}

// tellNotKept says how many refused requests are missing.
func tellNotKept(cmd *cobra.Command, page *refusedPage) {
	if page.NotKept > 0 {
		cmd.PrintErrf("%d more were refused since Caddy started and not kept: too many came at once. Their senders may send them again; see also reconcile.\n", page.NotKept)
	}
}

func listQuarantine(cmd *cobra.Command, client *adminClient, limit int) error {
	query, err := refusedQuery(cmd, limit, "source", "reason", "cursor")
	if err != nil {
		return err
	}
	var page refusedPage
	raw, err := client.get(cmd.Context(), "quarantine", query, &page)
	if err != nil {
		return err
	}
	if len(page.Requests) == 0 {
		tellNothing(cmd, client, query, "refused requests")
	}
	tellNotKept(cmd, &page)
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		t := table{headings: []string{"REQUEST", "AT", "SOURCE", "REASON", "CLIENT", "DIAGNOSIS"}}
		for i := range page.Requests {
			r := &page.Requests[i]
			found := text("")
			if len(r.Findings) > 0 {
				found = text(r.Findings[0].Text)
			}
			t.add(text(r.ID), text(clockTime(r.At)), text(r.Source), colored(red, r.Reason), text(r.ClientIP), found)
		}
		t.print(s)
		if page.Next != "" {
			_, _ = io.WriteString(cmd.ErrOrStderr(), "More: --cursor "+page.Next+"\n") // nobody is left to tell if standard error is closed
		}
	})
}

func showRefused(cmd *cobra.Command, client *adminClient, path string) error {
	var r refusedDetail
	raw, err := client.get(cmd.Context(), path, nil, &r)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		s.printf("%s %s\n", s.paint(bold, printable(r.ID)), s.paint(red, "refused: "+printable(r.Reason)))
		printField(s, "source", r.Source+" ("+r.Provider+")")
		printField(s, "at", clockTime(r.At)+" ("+since(r.At)+" ago)")
		printField(s, "request", r.Method+" "+r.URL)
		printField(s, "client", r.ClientIP)
		printField(s, "error", r.Error)
		printField(s, "size", humanize.IBytes(uint64(max(0, r.Size))))
		switch {
		case r.NoHeader:
			printField(s, "cut", "its headers were too large to keep: it cannot be released")
		case r.NoBody:
			printField(s, "cut", "its body was too large to keep: it cannot be released")
		}
		for _, f := range r.Findings {
			mark := s.paint(yellow, "perhaps")
			if f.Proved {
				mark = s.paint(green, "proved ")
			}
			s.printf("%s    %s\n", mark, printable(f.Text))
		}
		printHeaders(s, r.Header)
	})
}

func releaseRefused(cmd *cobra.Command, client *adminClient, path string, dryRun bool) error {
	var released releasedView
	raw, err := client.post(cmd.Context(), path+"/release", dryRunQuery(dryRun), nil, &released)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		if dryRun {
			s.printf("%s verifies now and would be accepted\n", released.ID)
			return
		}
		for _, id := range released.Events {
			s.printf("%s released as event %s\n", released.ID, id)
		}
	})
}

func discardRefused(cmd *cobra.Command, client *adminClient, path string, dryRun bool) error {
	var r refusedView
	raw, err := client.post(cmd.Context(), path+"/discard", dryRunQuery(dryRun), nil, &r)
	if err != nil {
		return err
	}
	s := newScreen(cmd.OutOrStdout())
	return showOr(cmd, s, raw, func() {
		verb := "removed"
		if dryRun {
			verb = "would be removed"
		}
		s.printf("%s of source %s %s\n", r.ID, r.Source, verb)
	})
}
