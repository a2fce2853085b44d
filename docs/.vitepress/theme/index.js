/** VitePress' own theme, with colours that are told apart on light and on dark screens. */

import DefaultTheme from 'vitepress/theme-without-fonts';
import './style.css';

export default DefaultTheme;
