/** The site: the pages of this folder, and the reference that TypeDoc makes of the sources. */

import { join } from 'node:path';
import { defineConfig } from 'vitepress';
import { demoDigitsPlugin } from '../../scripts/docs/demo_digits.mjs';
import { PLACE } from '../../scripts/docs/place.mjs';
import { root } from '../../scripts/tools.mjs';

/** Name of the one page to build, for tests of that page; then links to others lead nowhere. */
const { SITE_PAGE: onlyPage } = process.env;

export default defineConfig({
  title: 'syncbn',
  description: 'Batch normalization whose statistics span all devices that share a batch, in browsers and Node',
  lang: 'en',
  // Where the site lies is found out by each page: see scripts/docs/relocate.mjs.
  base: PLACE,
  outDir: '../build/site',
  cacheDir: '../build/site_cache',
  srcExclude: ['decisions/**', ...(onlyPage === undefined ? [] : ['api/**', `!(${onlyPage}).md`])],
  vite: {
    // The demo uses the library as users get it.
    resolve: { alias: { syncbn: join(root, 'dist', 'index.js') } },
    plugins: [demoDigitsPlugin()],
    // Its thread loads files of the library when it needs them.
    worker: { format: 'es', plugins: () => [demoDigitsPlugin()] },
  },
  // No picture stands for the site; browsers ask for one unless told so.
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  cleanUrls: false,
  lastUpdated: false,
  // Nothing of a page comes from elsewhere, and no page loads others before it is asked to.
  router: { prefetchLinks: false },
  markdown: { theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' } },
  ignoreDeadLinks: onlyPage === undefined ? [/decisions\//] : true,
  themeConfig: {
    search: {
      provider: 'local',
      options: { translations: { button: { buttonText: 'Search', buttonAriaLabel: 'Search' } } },
    },
    outline: { level: [2, 3] },
    nav: [
      { text: 'Get started', link: '/get_started' },
      { text: 'Demo', link: '/demo' },
      { text: 'Reference', link: '/api/main/' },
      { text: 'Errors', link: '/troubleshooting' },
    ],
    sidebar: [
      {
        text: 'Begin',
        items: [
          { text: 'Why synchronize', link: '/why_synchronize' },
          { text: 'Demo', link: '/demo' },
          { text: 'Get started', link: '/get_started' },
          { text: 'Coming from PyTorch', link: '/coming_from_pytorch' },
          { text: 'Coming from TensorFlow.js', link: '/coming_from_tensorflow_js' },
        ],
      },
      {
        text: 'Use',
        items: [
          { text: 'Devices: cores, GPUs, machines', link: '/devices' },
          { text: 'TensorFlow.js models on several devices', link: '/tfjs' },
          { text: 'TensorFlow.js on one device', link: '/tfjs_on_one_device' },
          { text: 'Several processes and machines', link: '/distributed' },
          { text: 'Your own layers', link: '/your_own_layers' },
          { text: 'Saving and loading', link: '/saving_and_loading' },
          { text: 'Memory', link: '/memory' },
          { text: 'Other engines', link: '/other_engines' },
        ],
      },
      {
        text: 'Know',
        items: [
          { text: 'Numerics: what is equal to what', link: '/numerics' },
          { text: 'How it works', link: '/how_it_works' },
          { text: 'Troubleshooting', link: '/troubleshooting' },
          { text: 'Performance', link: '/performance' },
          { text: 'Platforms', link: '/platforms' },
        ],
      },
      {
        text: 'Reference',
        items: [
          { text: 'syncbn', link: '/api/main/' },
          { text: 'functional', link: '/api/main/namespaces/functional' },
          { text: 'syncbn/safetensors', link: '/api/safetensors' },
          { text: 'syncbn/tfjs', link: '/api/tfjs' },
          { text: 'syncbn/distributed', link: '/api/distributed' },
          { text: 'syncbn/slim', link: '/api/slim' },
        ],
      },
    ],
  },
});
