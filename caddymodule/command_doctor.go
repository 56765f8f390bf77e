package caddymodule

import (
	"fmt"

	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, doctorCommand) }

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Looks for what is wrong, or will be, and says what to do", Args: cobra.NoArgs,
		Long: `Checks the store, the disk, the clock, the secrets (shared, old, unused, in the configuration), headers that Caddy would drop, the backlogs, and whether
the destinations can be reached and how long their certificates last. The applications are connected to, and are sent nothing.

The exit code is 1 if something fails; warnings leave it at 0.`,
	}
	connectFlags(cmd)
	outputFlags(cmd)
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		client, err := connect(cmd)
		if err != nil {
			return err
		}
		var result checkup
		raw, err := client.get(cmd.Context(), "doctor", nil, &result)
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		if err := showOr(cmd, s, raw, func() { printCheckup(s, &result) }); err != nil {
			return err
		}
		if !result.Healthy {
			return errSilent
		}
		return nil
	})
	return cmd
}

func printCheckup(s *screen, c *checkup) {
	colors := map[string]string{levelFail: red, levelWarn: yellow, levelOK: green}
	counts := map[string]int{}
	for i := range c.Findings {
		n := &c.Findings[i]
		counts[n.Level]++
		subject := n.Check
		if n.Target != "" {
			subject += " " + n.Target
		}
		s.printf("%s %s: %s\n", s.paint(colors[n.Level], fmt.Sprintf("%-4s", n.Level)), printable(subject), printable(n.Text))
		if n.Advice != "" {
			s.printf("     %s\n", s.paint(dim, printable(n.Advice)))
		}
	}
	s.printf("%d failures, %d warnings, %d checks passed\n", counts[levelFail], counts[levelWarn], counts[levelOK])
}
