package badgerstore

// rowKinds are kinds of rows whose loss matters. The others follow from them.
type rowKinds uint8

const (
	eventRows rowKinds = 1 << iota
	deliveryRows
	claimRows
	counterRows
	metaRows

	allRows = eventRows | deliveryRows | claimRows | counterRows | metaRows
)

var kindOfTable = map[byte]rowKinds{
	tabEvent: eventRows, tabDelivery: deliveryRows, tabAttempt: deliveryRows, tabClaim: claimRows, tabClaimLog: claimRows, tabClaimPage: claimRows,
	tabMeta: counterRows, tabUser: metaRows,
}

var kindNames = []struct {
	kind rowKinds
	name string
}{
	{eventRows, "events"}, {deliveryRows, "states of deliveries and attempts"}, {claimRows, "dedup claims"}, {counterRows, "counters"},
	{metaRows, "what operators have set, the audit and the quarantine"},
}

// names returns a name of each kind.
func (k rowKinds) names() []string {
	names := []string{}
	for _, n := range kindNames {
		if k&n.kind != 0 {
			names = append(names, n.name)
		}
	}
	return names
}
