/** Registers the elements that the page uses. Owns nothing else. */

import "../elements/bell";
import "../elements/compose";
import "../elements/inbox";
import "../elements/preferences";
import "../elements/who";
import "./connection";
import "./sign-in";
import "./console";
