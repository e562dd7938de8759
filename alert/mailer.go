package alert

import "context"

// verdict is how the attempt to deliver a message to one recipient ended.
type verdict uint8

const (
	postponed verdict = iota // certainly not delivered; worth another attempt
	delivered                // somebody else is now responsible for it
	refused                  // certainly not delivered, and another attempt would not help
	inDoubt                  // it was handed over, and the answer got lost
)

func (v verdict) String() string { return [...]string{"retried", "sent", "refused", "in_doubt"}[v] }

// envelope is a message for one recipient.
type envelope struct {
	to   Address
	data []byte // with CRLF line ends
}

// result is one envelope's verdict; err is nil when it was delivered.
type result struct {
	verdict verdict
	err     error
}

// mailer hands messages over to a mail system. Deliver returns one result for each envelope, in their order, by the
// time ctx ends or its own time limit is over, whatever the other side does.
type mailer interface {
	deliver(ctx context.Context, envelopes []envelope) []result
}

// all is the result of a session that failed before anybody's turn.
func all(envelopes []envelope, r result) []result {
	results := make([]result, len(envelopes))
	for i := range results {
		results[i] = r
	}
	return results
}
