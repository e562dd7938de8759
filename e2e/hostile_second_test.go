//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"
)

// heldBy is a row that tests of their own hold: they need their own exporter, a name server or a clock.
func heldBy(names string) func(*testing.T, *hostile) {
	return func(t *testing.T, _ *hostile) {
		tests := testNames(t)
		for name := range strings.FieldsSeq(names) {
			if !tests[name] {
				t.Errorf("%s, which is to hold it, does not exist", name)
			}
		}
	}
}

// secondRows are the cases of a second attack.
func secondRows() []row {
	web := visit{name: "z_http", module: `{prober: http, timeout: 2s}`}
	tcp := visit{name: "z_tcp", module: `{prober: tcp, timeout: 2s}`}
	return []row{
		{51, "a host of which nothing is left", []visit{web, tcp}, func(t *testing.T, h *hostile) {
			for module, target := range map[string]string{"z_http": "http://\u00ad:7475/", "z_tcp": "\u00ad:7475"} {
				h.status(t, "GET", probePath("module", module, "target", target), 400)
			}
		}},
		{52, "odd spellings of a denied address", nil, func(t *testing.T, h *hostile) {
			for _, host := range []string{"2130706434", "0x7f000002", "127.2", "0177.0.0.2", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]"} {
				h.status(t, "GET", probePath("module", "z_http", "target", "http://"+host+"/"), 403)
				h.status(t, "GET", probePath("module", "z_tcp", "target", host+":80"), 403)
			}
			h.probe(t, probePath("module", "z_http", "target", "http://"+h.park.at("site")+"/redirect?to=http://2130706434/"), 4*time.Second, "down redirect/denied")
		}},
		{53, "a proxy gets the judged address", nil, heldBy("TestProxyGetsTheAddressThatWasJudged")},
		{54, "requests change no configured target", nil, heldBy("TestRequestsDoNotChangeConfiguredTargets TestShortTimeoutOfARequestIsNoDown TestInventedTargetsKeepNoNewOneFromBeingWatched TestPagesOfOtherSitesChangeNothing")},
		{55, "userinfo is found by one parser", nil, heldBy("TestUserinfoIsShownNowhere FuzzRedactTarget FuzzHTTPTarget")},
		{56, "peers repeat secrets", nil, heldBy("TestRepeatedSecretsAreNotShown TestSMTPServerThatRepeatsThePassword TestAnswersLoseThePassword TestOAuth2TokenServerThatRepeatsSecrets")},
		{57, "unread replies keep no client out", nil, heldBy("TestUnreadTargetsKeepNoClientOut TestUnreadRepliesMakeRoom")},
		{58, "memory in company", nil, heldBy("TestLargeHeadersTogether TestStalledCertificatesTogether TestUnreadStreamsTogether TestHeadersOverHTTP2AndHTTP3ShareTheMemory")},
		{59, "this machine's errors for every reason", nil, heldBy("TestStoppedProcessReportsNothingDown TestNamesThatThisMachineCannotResolve TestClockBeforeTheBuildJudgesNoCertificate TestRouteErrorsOfThisMachineAreNoFailures TestFailureIsDoubtedWhenItMayBeOurs")},
		{60, "storms of reloads, and half a file", nil, heldBy("TestStormOfReloads TestWatchTakesNoHalfFile")},
		{61, "floods of frames without progress", nil, heldBy("TestFloodsOfFramesEndEarly TestHTTP3FramesWithoutProgressEndEarly TestHTTP3FloodEndsEarly")},
		{62, "what HTTP/2 says when it refuses", nil, heldBy("TestHTTP2RequestThatWasNotProcessedIsSentOnceMore TestHTTP11RequiredFallsBack TestHTTP2CauseNamesCodeAndStage")},
		{63, "a body longer than its length", nil, heldBy("TestBodyLongerThanItsLengthIsOneVerdict")},
		{64, "a name of 0.0.0.0 or ::", nil, heldBy("TestResolveTakesNoUnspecifiedAddress")},
		{65, "no answer for AAAA, and no large ClientHello", nil, heldBy("TestResolveUsesTheFamilyThatIsAnswered TestServerThatTakesNoLargeClientHello")},
		{66, "bytes that a URL may not hold", nil, heldBy("TestURLsAreEncodedWhereTheyMustBe")},
		{67, "garbage over DNS by TCP", nil, heldBy("TestGarbageOverAStreamEndsTheProbeAtOnce")},
		{68, "control characters in labels", nil, heldBy("TestLabelValueHasNoControlCharacters TestHostileTextStaysInItsLabel")},
		{69, "a store that is removed or replaced", nil, heldBy("TestStoreThatIsRemovedIsWrittenAgain TestFileThatIsRemovedIsWrittenAgain TestLostFileIsWrittenAgain")},
		{70, "a page under a foreign name", nil, heldBy("TestPagesOfOtherSitesChangeNothing TestCrossSiteReloadIsRefused")},
	}
}
