package badge

import (
	"encoding/xml"
	"strings"
	"testing"
)

func TestBadgeIsXMLWhateverTheName(t *testing.T) {
	for _, name := range []string{"API", `<script>"&'`, strings.Repeat("ü", 200), ""} {
		var svg struct {
			Title string `xml:"title"`
			Width int    `xml:"width,attr"`
		}
		text := SVG(name, "99.98 %", Good)
		if err := xml.Unmarshal(text, &svg); err != nil || svg.Title != cut(name)+": 99.98 %" || svg.Width > 500 {
			t.Errorf("%q: %v, %+v\n%s", name, err, svg, text)
		}
	}
}
