package verifierstest

import (
	"slices"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestPositions checks that a choice of bytes has both ends, is in order and names none twice, and that cheap schemes change every byte.
func TestPositions(t *testing.T) {
	fast, slow := &verifiers.Spec{}, &verifiers.Spec{JWT: &verifiers.JWT{Algorithms: []string{"ES512"}}}
	limit := func(n, most int) int {
		if testing.Short() {
			most = min(most, shortPositions)
		}
		return min(n, most)
	}
	for _, n := range []int{0, 1, 2, shortPositions, shortPositions + 1, slowPositions, slowPositions + 1, 1000} {
		for spec, most := range map[*verifiers.Spec]int{fast: n, slow: slowPositions} {
			t.Setenv(everyByte, "")
			got := slices.Collect(positions(spec, n))
			if len(got) != limit(n, most) {
				t.Errorf("%d of %d bytes are changed, expected %d", len(got), n, limit(n, most))
			}
			if n > 0 && (got[0] != 0 || got[len(got)-1] != n-1) {
				t.Errorf("of %d bytes the ends are %d and %d", n, got[0], got[len(got)-1])
			}
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("of %d bytes: %v", n, got)
			}
			t.Setenv(everyByte, "1")
			if all := len(slices.Collect(positions(spec, n))); all != n {
				t.Errorf("every byte: %d of %d", all, n)
			}
		}
	}
}
