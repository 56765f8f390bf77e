package caddymodule

import (
	"fmt"
	"io"
	"net/url"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, quarantineCommand) }

func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine [<id>] [--release | --discard | --raw]", Short: "Shows requests that were refused, and releases them", Args: cobra.MaximumNArgs(1),
		Long: `Lists requests that did not verify, with what the diagnosis found. With an id, shows one of them.

--release verifies it again with the secrets of now, as of the time it arrived, and accepts it if that succeeds; --discard removes it.`,
		Example: `  caddy webhooks quarantine --source payments --reason mismatch
  caddy webhooks quarantine rq_0603c5a1b2c3d --release --dry-run`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	f := cmd.Flags()
	for name, usage := range map[string]string{"source": "Of this source", "reason": "Refused for this reason: unsigned, malformed, mismatch, stale, unreadable, ...",
		"cursor": "Where to go on: printed at the end of a page"} {
		f.String(name, "", usage)
	}
	limit := f.Int("limit", defaultPageSize, "Requests of a page, at most 1000")
	release := f.Bool("release", false, "Verify it again and accept it")
	discard := f.Bool("discard", false, "Remove it")
	raw := f.Bool("raw", false, "Print the payload's bytes and nothing else")
	dryRun := f.Bool("dry-run", false, "Say what --release or --discard would do and do nothing")
	cmd.MarkFlagsMutuallyExclusive("release", "discard", "raw")
	cmd.RunE = runVerb(func(cmd *cobra.Command, ids []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			if *release || *discard || *raw {
				return usagef("which request? Give its id")
			}
			return listQuarantine(cmd, client, *limit)
		}
		path := "quarantine/" + url.PathEscape(ids[0])
		switch {
		case *release:
			return releaseRefused(cmd, client, path, *dryRun)
		case *discard:
			return discardRefused(cmd, client, path, *dryRun)
		case *raw:
			return copyPayload(cmd, client, path, url.Values{})
		}
		return showRefused(cmd, client, path)
	})
	return cmd
}

func listQuarantine(cmd *cobra.Command, client *adminClient, limit int) error {
	query := url.Values{"limit": {fmt.Sprint(limit)}}
	for _, name := range []string{"source", "reason", "cursor"} {
		value, err := cmd.Flags().GetString(name)
		if err != nil {
			return usageError(err)
		}
		if value != "" {
			query.Set(name, value)
		}
	}
	var page refusedPage
	raw, err := client.get(cmd.Context(), "quarantine", query, &page)
	if err != nil {
		return err
	}
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
