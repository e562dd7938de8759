package zoo

import (
	"bytes"
	"regexp"
	"sync"
	"time"
)

// Output is what a program in the background writes, as far as it has come. The zero value is empty and ready, and many
// goroutines may use it at once.
type Output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write; nil: nobody waits for it
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(b)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await returns the first match of re and its groups. It returns nil when there is none once done is closed, which says
// that nothing more will be written, or when patience is over.
func (o *Output) Await(re *regexp.Regexp, done <-chan struct{}, patience time.Duration) []string {
	timeout := time.After(patience)
	for {
		match, changed := o.find(re)
		if match != nil {
			return match
		}
		select {
		case <-changed:
		case <-done:
			match, _ = o.find(re)
			return match
		case <-timeout:
			return nil
		}
	}
}

// find returns the first match, and a channel that is closed when there is more to look at.
func (o *Output) find(re *regexp.Regexp) ([]string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return re.FindStringSubmatch(o.text.String()), o.changed
}
